// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include <string.h>
#include <sys/stat.h>

#include "erofs.h"

#define BLOCK 4096UL

enum {
	ROOT = 1, /* inode numbers count units of 32 bytes */
	FILE_INODE = 2
};

/* Block 0: the superblock, of which the kernel needs little. */
struct superblock {
	uint32_t magic, checksum, compatible;
	uint8_t block_bits, extra_slots;
	uint16_t root;
	uint64_t inodes, build_time;
	uint32_t build_time_ns, blocks, inode_block;
	uint8_t rest[80];
};

/* Block 1: inodes. */
struct inode {
	uint16_t format, xattrs, mode, links;
	uint32_t size, reserved, block, number;
	uint16_t uid, gid;
	uint32_t reserved2;
};

/* Block 2: the folder; the names follow. */
struct entry {
	uint64_t inode;
	uint16_t name;
	uint8_t type, reserved;
} __attribute__((packed));

_Static_assert(sizeof(struct superblock) == 128 && sizeof(struct inode) == 32 &&
		       sizeof(struct entry) == 12,
	       "as on disk");

void erofs_image(unsigned char *image, size_t len)
{
	static const char names[] = "..." EROFS_FILE; /* "." ".." "file" */
	const struct entry entries[3] = {
		{ ROOT, sizeof(entries), 2, 0 },
		{ ROOT, sizeof(entries) + 1, 2, 0 },
		{ FILE_INODE, sizeof(entries) + 3, 1, 0 },
	};
	const struct superblock super = {
		.magic = 0xe0f5e1e2,
		.block_bits = 12,
		.root = ROOT,
		.inodes = 2,
		.blocks = (uint32_t)(EROFS_SIZE(len) / BLOCK),
		.inode_block = 1,
	};
	const struct inode root = {
		.mode = S_IFDIR | 0755,
		.links = 2,
		.size = sizeof(entries) + sizeof(names) - 1,
		.block = 2,
		.number = 1,
	};
	const struct inode file = {
		.mode = S_IFREG | 0644,
		.links = 1,
		.size = (uint32_t)len,
		.block = EROFS_START / BLOCK,
		.number = 2,
	};

	memset(image, 0, EROFS_START);
	memcpy(image + 1024, &super, sizeof(super));
	memcpy(image + BLOCK + ROOT * sizeof(root), &root, sizeof(root));
	memcpy(image + BLOCK + FILE_INODE * sizeof(file), &file, sizeof(file));
	memcpy(image + 2 * BLOCK, entries, sizeof(entries));
	memcpy(image + 2 * BLOCK + sizeof(entries), names, sizeof(names) - 1);
}
