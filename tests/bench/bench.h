/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Costs of kernel paths in instructions: in a guest whose clock advances by 1 ns per instruction
 * (./pinverbs run --icount), the time-stamp counter counts them.
 */
#ifndef PINV_BENCH_H
#define PINV_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ibv_context;
struct ibv_pd;

#define KiB(n) ((size_t)(n) << 10)
#define MiB(n) ((size_t)(n) << 20)
#define PAGE   4096UL

#define F_LAYOUT         0x100
#define F_EXCLUSIVE      0x200
#define EXCLUSIVE_LAYOUT (F_LAYOUT | F_EXCLUSIVE)

#define MANY 10000

_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* One finding: "NAME NUMBER", or "NAME WORD" for what has no number. */
void report(const char *name, double value);
void report_word(const char *name, const char *word);

uint64_t now(void);
uint64_t median(uint64_t *samples, size_t n);

/* Memory of a kind, all of it present; the kernel maps it as the kind's name says. */
void *memory_make(const char *kind, const char *dir, size_t size);
bool memory_is_file(const char *kind);

/* Opens rxe0 once. */
struct ibv_pd *the_pd(void);
/* Descriptors and memory to be locked, without limit. */
void lift_limits(void);

void bench_registration(const char *kind, const char *dir, size_t max);
void bench_refused_truncate(const char *dir);
void bench_file_pins(const char *dir);
void bench_lease_calls(const char *dir);
void bench_truncate(const char *dir);
void bench_direct(const char *dir);

#endif
