// SPDX-License-Identifier: GPL-2.0-only
/*
 * x86 side of checkpoint/restart that needs macros and inlines.
 */
#include <linux/checkpoint.h>

void arch_checkpoint_park(void)
{
}
