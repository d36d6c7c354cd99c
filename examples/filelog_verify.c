// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* filelog: reads the records back as any program would that knows nothing of RDMA. */
#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include "filelog.h"

int verify_file(const char *path, const struct done *done)
{
	uint64_t records = be64toh(done->records), sum = CHECKSUM_START, i;
	struct record record;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return failed(path, "open to verify",
			      "see whether somebody moved the file");
	for (i = 0; i < records; i++) {
		if (read(fd, &record, sizeof(record)) != sizeof(record) ||
		    be64toh(record.sequence) != i || record.run != done->run)
			break;
		sum = checksum(sum, &record, sizeof(record));
	}
	close(fd);
	if (i < records || sum != be64toh(done->checksum)) {
		fprintf(stderr,
			"filelog: %s: verify: record %" PRIu64 " of %" PRIu64
			" is not what the client wrote (checksum %016" PRIx64
			"); see dmesg\n",
			path, i, records, sum);
		return EXIT_MISMATCH;
	}
	printf("verified by read(2): %" PRIu64 " records, %" PRIu64
	       " bytes, checksum %016" PRIx64 " as the client's\n",
	       records, records * sizeof(record), sum);
	return EXIT_DONE;
}
