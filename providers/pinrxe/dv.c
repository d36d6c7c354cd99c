// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Direct verbs about devices. */
#include <config.h>

#include "pinrxe.h"
#include "pinrxedv.h"

bool pinrxedv_is_supported(struct ibv_device *device)
{
	return verbs_get_device(device)->ops == &pinrxe_device_ops;
}
