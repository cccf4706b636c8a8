/* Starts the emulated board: paints the stack, protects the memory, initializes the RAM and runs main.
 *
 * The MPU allows access to the board's flash, its 256 KB of RAM and the peripherals only. Any other access ends the
 * emulator with a message and the status 99. */
#include <stdint.h>
#include <stdnoreturn.h>
#include <string.h>

#include "emulator.h"

extern uint32_t stack_bottom[], stack_top[], data_from[], data_begin[], data_end[], bss_begin[], bss_end[];
int main(void);

#define REGISTER(address) (*(volatile uint32_t *)(address))
enum {
  CPACR = 0xE000ED88,
  MPU_CONTROL = 0xE000ED94,
  MPU_NUMBER = 0xE000ED98,
  MPU_BASE = 0xE000ED9C,
  MPU_SIZE = 0xE000EDA0,
};
enum { READ_ONLY = 6u << 24, READ_WRITE = 3u << 24, NEVER_EXECUTE = 1u << 28, ENABLE = 1 };
static const uint32_t PAINT = 0xC0FFEE11;

static void protect(uint32_t number, uint32_t base, uint32_t bits, uint32_t rights) {
  REGISTER(MPU_NUMBER) = number;
  REGISTER(MPU_BASE) = base;
  REGISTER(MPU_SIZE) = rights | (bits - 1) << 1 | ENABLE;
}

static void protect_memory(void) {
  protect(0, 0x00000000, 20, READ_ONLY);                  /* 1 MB of flash */
  protect(1, 0x20000000, 18, READ_WRITE | NEVER_EXECUTE); /* 256 KB of RAM */
  protect(2, 0x40000000, 29, READ_WRITE | NEVER_EXECUTE); /* peripherals */
  REGISTER(MPU_CONTROL) = ENABLE;
  __asm volatile("dsb\n isb" ::: "memory");
}

__attribute__((naked)) static void fill_and_run(void) { __asm volatile("b run_main"); }

__attribute__((used)) noreturn static void run_main(void) {
  memcpy(data_begin, data_from, (size_t)((char *)data_end - (char *)data_begin));
  memset(bss_begin, 0, (size_t)((char *)bss_end - (char *)bss_begin));
  emulator_exit(main());
}

noreturn void reset(void) {
  REGISTER(CPACR) |= 0xFu << 20; /* the floating-point unit */
  for (volatile uint32_t *word = stack_bottom; word < (uint32_t *)__builtin_frame_address(0) - 16; word++) {
    *word = PAINT;
  }
  protect_memory();
  fill_and_run();
  __builtin_unreachable();
}

uint32_t emulator_stack_used(void) {
  const uint32_t *word = stack_bottom;
  while (word < stack_top && *word == PAINT) {
    word++;
  }
  return (uint32_t)((const char *)stack_top - (const char *)word);
}

uint32_t emulator_stack_size(void) { return (uint32_t)((const char *)stack_top - (const char *)stack_bottom); }

noreturn static void fault(void) {
  __asm volatile("cpsid i");
  REGISTER(MPU_CONTROL) = 0;
  emulator_print("FAULT: access outside the board's memory, or an undefined instruction\n");
  emulator_exit(99);
}

/* The fault handler starts with an empty stack: the fault may be a stack overflow. */
__attribute__((naked)) static void on_fault(void) {
  __asm volatile("cpsid i\n ldr r0, =stack_top\n mov sp, r0\n b %c0" ::"i"(fault));
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_top,
    (const void *)reset,
    (const void *)on_fault,
    (const void *)on_fault,
    (const void *)on_fault,
    (const void *)on_fault,
    (const void *)on_fault,
};
