/*
 * What lies where in the window that a fuzzer and its target share, for targets in C. guest/src/fuzz/layout.rs, which the fuzzer and targets in
 * Rust read, explains it, and has the same numbers.
 */
#ifndef AVISOR_FUZZ_H
#define AVISOR_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* EVENT's codes: what is stored into the doorbell. */
#define AVISOR_FUZZ_READY 1
#define AVISOR_FUZZ_DONE 2
#define AVISOR_FUZZ_CRASH 3

/* "avfuzz", and the version of the layout. */
#define AVISOR_FUZZ_MAGIC UINT64_C(0x00017a7a75667661)

#define AVISOR_FUZZ_MAP 0x1000
#define AVISOR_FUZZ_MAP_BYTES 8192
#define AVISOR_FUZZ_COUNTS 0x3000
#define AVISOR_FUZZ_SITES 256
#define AVISOR_FUZZ_KEPT 4
#define AVISOR_FUZZ_COMPARISONS 0x3100
#define AVISOR_FUZZ_INPUT 0xa000
#define AVISOR_FUZZ_INPUT_BYTES 0x10000

struct avisor_fuzz_crash {
    uint64_t x[31], sp, pc, pstate, esr, far;
    uint64_t depth, calls[32];
    uint64_t message_bytes;
    uint8_t message[1024];
};

struct avisor_fuzz_header {
    uint64_t magic;
    uint32_t map_bytes, input_bytes, wants_comparisons, reserved;
    uint64_t began, ended;
    struct avisor_fuzz_crash crash;
};

struct avisor_fuzz_comparison {
    uint64_t a, b;
    uint32_t bytes, constant;
};

_Static_assert(offsetof(struct avisor_fuzz_header, crash) == 40, "as in layout.rs");
_Static_assert(offsetof(struct avisor_fuzz_crash, message) == 560, "as in layout.rs");
_Static_assert(sizeof(struct avisor_fuzz_comparison) == 24, "as in layout.rs");

#endif
