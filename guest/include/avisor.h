/*
 * The calls that Avisor offers a guest, for freestanding C99 on AArch64 (GCC or Clang), at EL1.
 *
 * Two ways to ask, and they mix freely:
 *
 *   avisor_checkpoint_here(), avisor_restore_to()   hvc #1 and hvc #2. They change no register. A program goes on
 *                                                   behind the checkpoint without being told whether it was just
 *                                                   taken or came back.
 *   avisor_checkpoint(), avisor_restore(), ...      SMCCC calls on hvc #0. They tell, and report errors.
 *
 * A restore brings back everything that is the machine's own: registers, all memory, the UART, both counters (CNTVCT_EL0
 * and CNTPCT_EL0) and their timers. With time = "passes" in the configuration the counters have gone on meanwhile.
 * What is not taken back: avisor_generation(), the value given to avisor_restore(), and what has left the machine
 * (printed characters).
 *
 * Calls that return int64_t or take a structure return AVISOR_... error codes, which are below 0.
 *
 * This header is all that a program needs. In one of its files, AVISOR_START is defined before the header is included: that file then
 * has the program's first instructions, too (see the end of this header). guest/c/hello.c is an example, with the compiler's command.
 */
#ifndef AVISOR_H
#define AVISOR_H

#include <stdint.h>

#define AVISOR_NOT_SUPPORTED (-1)     /* no such call: another hypervisor, or none */
#define AVISOR_INVALID_PARAMETER (-3) /* an argument makes no sense */
#define AVISOR_NOT_FOUND (-4)         /* no snapshot of this machine has that id (any more) */
#define AVISOR_NO_MEMORY (-5)         /* memory does not allow it, with all older snapshots freed */
#define AVISOR_DENIED (-6)            /* this machine controls no such target, or not as that is now */

/* In place of an id: the newest snapshot that exists. */
#define AVISOR_LATEST (-1)

/* SMCCC function ids. */
#define AVISOR_FN_CHECKPOINT UINT64_C(0xC6000001)
#define AVISOR_FN_RESTORE UINT64_C(0xC6000002)
#define AVISOR_FN_DELETE UINT64_C(0xC6000003)
#define AVISOR_FN_INFO UINT64_C(0xC6000004)
#define AVISOR_FN_NEXT UINT64_C(0xC6000005)
#define AVISOR_FN_STATS UINT64_C(0xC6000006)
#define AVISOR_FN_GENERATION UINT64_C(0xC6000007)
#define AVISOR_FN_EVENT UINT64_C(0xC6000008)
#define AVISOR_FN_TARGET UINT64_C(0xC6000010)
#define AVISOR_FN_RUN UINT64_C(0xC6000011)
#define AVISOR_FN_STOP UINT64_C(0xC6000012)
#define AVISOR_FN_READ UINT64_C(0xC6000013)
#define AVISOR_FN_WRITE UINT64_C(0xC6000014)
#define AVISOR_FN_REGISTERS UINT64_C(0xC6000015)
#define AVISOR_FN_SET_REGISTERS UINT64_C(0xC6000016)
#define AVISOR_FN_DIFFERS UINT64_C(0xC6000017)
#define AVISOR_FN_CHECKPOINT_OF UINT64_C(0xC6000018)
#define AVISOR_FN_RESTORE_OF UINT64_C(0xC6000019)
#define AVISOR_FN_DELETE_OF UINT64_C(0xC600001A)
#define AVISOR_FN_INFO_OF UINT64_C(0xC600001B)
#define AVISOR_FN_NEXT_OF UINT64_C(0xC600001C)
#define AVISOR_FN_STATS_OF UINT64_C(0xC600001D)
#define AVISOR_FN_CATCH UINT64_C(0xC600001E)
#define AVISOR_FN_BREAKPOINT UINT64_C(0xC600001F)
#define AVISOR_FN_TRANSLATE UINT64_C(0xC6000020)
#define AVISOR_FN_CALL_COUNT UINT64_C(0x8600FF00)
#define AVISOR_FN_UID UINT64_C(0x8600FF01)
#define AVISOR_FN_REVISION UINT64_C(0x8600FF03)

/* x0 to x3 of an SMCCC call. */
struct avisor_result {
    uint64_t x0, x1, x2, x3;
};

/* What avisor_info() tells of a snapshot. */
struct avisor_info {
    int64_t parent;           /* the snapshot that the machine ran on when it was taken (may be gone by now), or -1 */
    uint64_t own_pages;       /* pages that deleting it would free */
    uint64_t virtual_counter; /* CNTVCT_EL0 at its checkpoint */
};

/* A snapshot, and three that it comes from: -1 behind one that is gone, and behind one that comes from none. */
struct avisor_line {
    int64_t ids[4];
};

/* What avisor_stats() tells of all snapshots of this machine. */
struct avisor_stats {
    uint64_t snapshots;
    uint64_t pools;
    uint64_t pages_used; /* pages kept for snapshots alone */
    uint64_t pages_free; /* pages left for more */
};

/* hvc #0. The "memory" clobber is for restores: behind a checkpoint, all memory may be other than before it. */
static inline struct avisor_result avisor_call(uint64_t function, uint64_t a1, uint64_t a2, uint64_t a3)
{
    register uint64_t x0 __asm__("x0") = function;
    register uint64_t x1 __asm__("x1") = a1;
    register uint64_t x2 __asm__("x2") = a2;
    register uint64_t x3 __asm__("x3") = a3;
    struct avisor_result result;

    __asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : "memory");
    result.x0 = x0;
    result.x1 = x1;
    result.x2 = x2;
    result.x3 = x3;
    return result;
}

/* NEXT's results. */
static inline int64_t avisor_line_from(struct avisor_result result, struct avisor_line *line)
{
    if ((int64_t)result.x0 < 0)
        return (int64_t)result.x0;
    line->ids[0] = (int64_t)result.x0;
    line->ids[1] = (int64_t)result.x1;
    line->ids[2] = (int64_t)result.x2;
    line->ids[3] = (int64_t)result.x3;
    return 0;
}

/* hvc #1: takes a snapshot that continues here. */
static inline void avisor_checkpoint_here(void)
{
    __asm__ volatile("hvc #1" : : : "memory");
}

/* hvc #2: goes back to snapshot `id`. Returns only if that was refused, with nothing changed. */
static inline void avisor_restore_to(int64_t id)
{
    register int64_t x0 __asm__("x0") = id;

    __asm__ volatile("hvc #2" : : "r"(x0) : "memory");
}

/*
 * Takes a snapshot and returns its id, or an error. Like setjmp, it returns again after each restore to it:
 * *value is 0 when the snapshot was just taken, and what the restorer passed (never 0) when it came back.
 */
static inline int64_t avisor_checkpoint(uint64_t *value)
{
    struct avisor_result result = avisor_call(AVISOR_FN_CHECKPOINT, 0, 0, 0);

    *value = result.x1;
    return (int64_t)result.x0;
}

/* Goes back to `id`, whose avisor_checkpoint() then gives `value` (1 if that is 0). Returns only an error. */
static inline int64_t avisor_restore(int64_t id, uint64_t value)
{
    return (int64_t)avisor_call(AVISOR_FN_RESTORE, (uint64_t)id, value, 0).x0;
}

/* Frees snapshot `id`; those taken after it stay. Returns 0 or an error. */
static inline int64_t avisor_delete(int64_t id)
{
    return (int64_t)avisor_call(AVISOR_FN_DELETE, (uint64_t)id, 0, 0).x0;
}

/* Tells about snapshot `id`. Returns 0 or an error, and then leaves *info alone. */
static inline int64_t avisor_info(int64_t id, struct avisor_info *info)
{
    struct avisor_result result = avisor_call(AVISOR_FN_INFO, (uint64_t)id, 0, 0);

    if ((int64_t)result.x0 >= 0) {
        info->parent = (int64_t)result.x1;
        info->own_pages = result.x2;
        info->virtual_counter = result.x3;
    }
    return (int64_t)result.x0;
}

/* The smallest id that exists and is not below `id`, or an error. */
static inline int64_t avisor_next(int64_t id)
{
    return (int64_t)avisor_call(AVISOR_FN_NEXT, (uint64_t)id, 0, 0).x0;
}

/*
 * Snapshot `id`, if it exists, or the next one that does, and what it comes from; -1: what the machine was last saved as or restored to, which may
 * be gone. Returns 0 or an error, and then leaves *line alone.
 */
static inline int64_t avisor_line(int64_t id, struct avisor_line *line)
{
    return avisor_line_from(avisor_call(AVISOR_FN_NEXT, (uint64_t)id, 0, 0), line);
}

/* Tells about all snapshots of this machine. Returns 0 or an error, and then leaves *stats alone. */
static inline int64_t avisor_stats(struct avisor_stats *stats)
{
    struct avisor_result result = avisor_call(AVISOR_FN_STATS, 0, 0, 0);

    if ((int64_t)result.x0 < 0)
        return (int64_t)result.x0;
    stats->snapshots = result.x0;
    stats->pools = result.x1;
    stats->pages_used = result.x2;
    stats->pages_free = result.x3;
    return 0;
}

/*
 * Stops this machine, and hands the values to the one that controls it. Returns 0 when that one runs it again;
 * AVISOR_NOT_SUPPORTED at once if nobody controls it.
 */
static inline int64_t avisor_event(uint64_t code, uint64_t a, uint64_t b)
{
    return (int64_t)avisor_call(AVISOR_FN_EVENT, code, a, b).x0;
}

/* Why avisor_run() returned. */
#define AVISOR_STOP_EVENT 0       /* the target called avisor_event() */
#define AVISOR_STOP_RESET 1       /* it was reset, and has not begun again yet */
#define AVISOR_STOP_OFF 2         /* it is off */
#define AVISOR_STOP_LIMIT 3       /* the time that it was given is over */
#define AVISOR_STOP_STOPPED 4     /* another CPU called avisor_stop() */
#define AVISOR_STOP_INTERRUPTED 5 /* it did not stop: there is an interrupt for this machine */
#define AVISOR_STOP_DEBUG 6       /* a debug exception that avisor_catch() catches, or the end of avisor_step() */

/* What avisor_target() tells. */
struct avisor_target {
    uint64_t state; /* 0: off, 1: stopped, 2: running */
    uint64_t vcpus;
    uint64_t pages; /* 4 KiB pages of RAM */
};

/* A target is named by its place in `controls` of the configuration. Returns 0 or an error, and then leaves *about alone. */
static inline int64_t avisor_target(uint64_t target, struct avisor_target *about)
{
    struct avisor_result result = avisor_call(AVISOR_FN_TARGET, target, 0, 0);

    if ((int64_t)result.x0 >= 0) {
        about->state = result.x1;
        about->vcpus = result.x2;
        about->pages = result.x3;
    }
    return (int64_t)result.x0;
}

/*
 * Runs a target until something happens: for at most `limit` ns in which it could run, or with 0 without a limit.
 * x0 is one of AVISOR_STOP_..., or an error. With AVISOR_STOP_EVENT x1 to x3 are the event; with AVISOR_STOP_DEBUG the CPU, ESR_EL2 of
 * the exception (EC, bits 31:26: 0x30 breakpoint, 0x32 step, 0x34 watchpoint, 0x3c BRK), and the address that a watchpoint's access was to.
 */
static inline struct avisor_result avisor_run(uint64_t target, uint64_t limit)
{
    return avisor_call(AVISOR_FN_RUN, target, limit, 0);
}

/* The same for one instruction of a CPU of the target, while its others stand. One that waits, as WFI, is told at once. */
static inline struct avisor_result avisor_step(uint64_t target, uint64_t limit, uint64_t cpu)
{
    return avisor_call(AVISOR_FN_RUN, target, limit, cpu + 1);
}

/* Stops a target. Returns 0 or an error. */
static inline int64_t avisor_stop(uint64_t target)
{
    return (int64_t)avisor_call(AVISOR_FN_STOP, target, 0, 0).x0;
}

/* hvc #0 with six arguments; x0 to x3. */
static inline struct avisor_result avisor_call6(uint64_t function, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                                                uint64_t a6)
{
    register uint64_t x0 __asm__("x0") = function;
    register uint64_t x1 __asm__("x1") = a1;
    register uint64_t x2 __asm__("x2") = a2;
    register uint64_t x3 __asm__("x3") = a3;
    register uint64_t x4 __asm__("x4") = a4;
    register uint64_t x5 __asm__("x5") = a5;
    register uint64_t x6 __asm__("x6") = a6;

    __asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : "r"(x4), "r"(x5), "r"(x6) : "memory");
    return (struct avisor_result){x0, x1, x2, x3};
}

/* The same with five; x0. */
static inline int64_t avisor_call5(uint64_t function, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    return (int64_t)avisor_call6(function, a1, a2, a3, a4, a5, 0).x0;
}

/* In place of a target's snapshot id: the target as it is now. */
#define AVISOR_NOW (-1)

/*
 * Reads a target's memory from the guest-physical `address` on, as it is in a snapshot or AVISOR_NOW, and writes it, as a store of the target
 * would. `to` and `from` lie in this machine's memory one to one. At most 64 KiB at a time. Returns 0 or an error.
 */
static inline int64_t avisor_read(uint64_t target, int64_t id, uint64_t address, void *to, uint64_t bytes)
{
    return avisor_call5(AVISOR_FN_READ, target, (uint64_t)id, address, (uint64_t)(uintptr_t)to, bytes);
}

static inline int64_t avisor_write(uint64_t target, uint64_t address, const void *from, uint64_t bytes)
{
    return avisor_call5(AVISOR_FN_WRITE, target, address, (uint64_t)(uintptr_t)from, bytes, 0);
}

/* The same for virtual addresses of the target's CPU number `cpu`, by its tables in memory. AVISOR_NOT_FOUND if nothing is mapped there. */
static inline int64_t avisor_read_virtual(uint64_t target, int64_t id, uint64_t cpu, uint64_t address, void *to, uint64_t bytes)
{
    return (int64_t)avisor_call6(AVISOR_FN_READ, target, (uint64_t)id, address, (uint64_t)(uintptr_t)to, bytes, cpu + 1).x0;
}

static inline int64_t avisor_write_virtual(uint64_t target, uint64_t cpu, uint64_t address, const void *from, uint64_t bytes)
{
    return avisor_call5(AVISOR_FN_WRITE, target, address, (uint64_t)(uintptr_t)from, bytes, cpu + 1);
}

/*
 * Where a virtual address of a target's CPU leads, as it is in a snapshot or AVISOR_NOW: x0 is 0 or an error, x1 the guest-physical
 * address, x2 the bytes from there to the end of the page or block that maps it.
 */
static inline struct avisor_result avisor_translate(uint64_t target, int64_t id, uint64_t cpu, uint64_t address)
{
    return avisor_call6(AVISOR_FN_TRANSLATE, target, (uint64_t)id, cpu, address, 0, 0);
}

/* A CPU's registers, but for its physical timer, its debug registers, and those of the interrupt controller. */
struct avisor_registers {
    uint64_t version; /* 1 */
    uint64_t state;   /* 0: off, and all that follows is zero; 1: on; 2: it waits for an interrupt. Not to be set */
    uint64_t x[31];
    uint64_t pc;
    uint64_t pstate;
    /*
     * SP_EL0, SP_EL1, ELR_EL1, SPSR_EL1, ESR_EL1, FAR_EL1, AFSR0_EL1, AFSR1_EL1, PAR_EL1, VBAR_EL1, CPACR_EL1, TTBR0_EL1, TTBR1_EL1,
     * MAIR_EL1, AMAIR_EL1, CONTEXTIDR_EL1, TPIDR_EL0, TPIDRRO_EL0, TPIDR_EL1, CSSELR_EL1, CNTKCTL_EL1, CNTV_CVAL_EL0, CNTV_CTL_EL0
     */
    uint64_t el1[23];
    uint64_t sctlr;
    uint64_t tcr;
    uint64_t keys[10]; /* of pointer authentication, low half first: IA, IB, DA, DB, GA */
    uint64_t q[32][2]; /* q0 to q31, low half first */
    uint64_t fpcr;
    uint64_t fpsr;
};

/* The registers of a target's CPU, as they are in a snapshot or AVISOR_NOW. Returns the bytes written, or an error. */
static inline int64_t avisor_registers(uint64_t target, int64_t id, uint64_t cpu, struct avisor_registers *to)
{
    return avisor_call5(AVISOR_FN_REGISTERS, target, (uint64_t)id, cpu, (uint64_t)(uintptr_t)to, sizeof *to);
}

/* Sets the registers of a target's CPU, which is on. What a guest could not set itself is refused, and so is switching the CPU's caches on or off while
 * the target is not stopped. Returns 0 or an error. */
static inline int64_t avisor_set_registers(uint64_t target, uint64_t cpu, const struct avisor_registers *from)
{
    return avisor_call5(AVISOR_FN_SET_REGISTERS, target, cpu, (uint64_t)(uintptr_t)from, sizeof *from, 0);
}

/*
 * The first page of a target's RAM, from page `from` on, in which two snapshots, or a snapshot and AVISOR_NOW, differ; as many as it
 * has, if none does; or an error. A page that was stored to differs, whatever was stored.
 */
static inline int64_t avisor_differs(uint64_t target, int64_t one, int64_t other, uint64_t from)
{
    return avisor_call5(AVISOR_FN_DIFFERS, target, (uint64_t)one, (uint64_t)other, from, 0);
}

/* For avisor_catch(): the breakpoints and watchpoints that were set; BRK instructions with this immediate. */
#define AVISOR_CATCH_HARDWARE UINT64_C(1)
#define AVISOR_CATCH_BRK(immediate) (UINT64_C(2) | (uint64_t)(uint16_t)(immediate) << 16)

/*
 * Says which debug exceptions stop a target; with 0 none does, and its own breakpoints, watchpoints and software step act again. x0 is 0
 * or an error, x1 how many breakpoints the CPU has, x2 how many watchpoints.
 */
static inline struct avisor_result avisor_catch(uint64_t target, uint64_t what)
{
    return avisor_call(AVISOR_FN_CATCH, target, what, 0);
}

/* What avisor_breakpoint() sets. Watchpoints have the numbers from AVISOR_WATCHPOINT(0) on, and stop before the access. */
#define AVISOR_BREAK_NONE 0   /* it is removed */
#define AVISOR_BREAK_CODE 1   /* a breakpoint, with 4 bytes */
#define AVISOR_BREAK_LOADS 2  /* a watchpoint: 1 to 8 bytes in an aligned doubleword, */
#define AVISOR_BREAK_STORES 3 /* or an aligned power of two up to 2 GiB */
#define AVISOR_BREAK_BOTH 4
#define AVISOR_WATCHPOINT(n) (UINT64_C(16) + (n))

/* Sets a breakpoint or watchpoint at a virtual address, on all CPUs of a target. Returns 0 or an error. */
static inline int64_t avisor_breakpoint(uint64_t target, uint64_t number, uint64_t kind, uint64_t address, uint64_t bytes)
{
    return avisor_call5(AVISOR_FN_BREAKPOINT, target, number, kind, address, bytes);
}

/* Takes a snapshot of a target, which does not notice. Returns its id or an error. */
static inline int64_t avisor_checkpoint_of(uint64_t target)
{
    return (int64_t)avisor_call(AVISOR_FN_CHECKPOINT_OF, target, 0, 0).x0;
}

/* Takes a target back to a snapshot; `value` is what the target's own avisor_checkpoint() gives then. Returns the id or an error. */
static inline int64_t avisor_restore_of(uint64_t target, int64_t id, uint64_t value)
{
    return (int64_t)avisor_call(AVISOR_FN_RESTORE_OF, target, (uint64_t)id, value).x0;
}

/* Frees a target's snapshot. Returns 0 or an error. */
static inline int64_t avisor_delete_of(uint64_t target, int64_t id)
{
    return (int64_t)avisor_call(AVISOR_FN_DELETE_OF, target, (uint64_t)id, 0).x0;
}

/* Tells about a target's snapshot. Returns 0 or an error, and then leaves *info alone. */
static inline int64_t avisor_info_of(uint64_t target, int64_t id, struct avisor_info *info)
{
    struct avisor_result result = avisor_call(AVISOR_FN_INFO_OF, target, (uint64_t)id, 0);

    if ((int64_t)result.x0 >= 0) {
        info->parent = (int64_t)result.x1;
        info->own_pages = result.x2;
        info->virtual_counter = result.x3;
    }
    return (int64_t)result.x0;
}

/* A target's smallest id that exists and is not below `id`, or an error. */
static inline int64_t avisor_next_of(uint64_t target, int64_t id)
{
    return (int64_t)avisor_call(AVISOR_FN_NEXT_OF, target, (uint64_t)id, 0).x0;
}

/* The same of a target. */
static inline int64_t avisor_line_of(uint64_t target, int64_t id, struct avisor_line *line)
{
    return avisor_line_from(avisor_call(AVISOR_FN_NEXT_OF, target, (uint64_t)id, 0), line);
}

/* Tells about all snapshots of a target. Returns 0 or an error, and then leaves *stats alone. */
static inline int64_t avisor_stats_of(uint64_t target, struct avisor_stats *stats)
{
    struct avisor_result result = avisor_call(AVISOR_FN_STATS_OF, target, 0, 0);

    if ((int64_t)result.x0 < 0)
        return (int64_t)result.x0;
    stats->snapshots = result.x0;
    stats->pools = result.x1;
    stats->pages_used = result.x2;
    stats->pages_free = result.x3;
    return 0;
}

/* How often this machine was restored; no restore takes it back. An error where there is no Avisor. */
static inline int64_t avisor_generation(void)
{
    return (int64_t)avisor_call(AVISOR_FN_GENERATION, 0, 0, 0).x0;
}

#ifdef AVISOR_START
/*
 * The program's first instructions: interrupts masked, a stack of 64 KiB, then main(), whose first argument is the address of the
 * device tree. When main() returns, the machine is switched off (PSCI SYSTEM_OFF). Whoever loads the ELF file clears .bss.
 */
__asm__(".pushsection .text.avisor_start, \"ax\"\n"
        ".global _start\n"
        "_start:\n"
        "msr daifset, #0xf\n"
        "msr spsel, #1\n"
        "adrp x1, avisor_stack_top\n"
        "add x1, x1, :lo12:avisor_stack_top\n"
        "mov sp, x1\n"
        /* A debugger's backtrace ends here. */
        "mov x29, xzr\n"
        "bl main\n"
        "0: movz w0, #0x0008\n"
        "movk w0, #0x8400, lsl #16\n"
        "hvc #0\n"
        "b 0b\n"
        ".popsection\n"
        ".pushsection .bss.avisor_stack, \"aw\", %nobits\n"
        ".balign 16\n"
        ".skip 0x10000\n"
        "avisor_stack_top:\n"
        ".popsection\n");
#endif

#endif
