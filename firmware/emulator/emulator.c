/* Semihosting (calls to the debugger, which QEMU implements) and the system timer. */
#include "emulator.h"

#include <string.h>

enum { OPEN = 0x01, WRITE_TEXT = 0x04, WRITE = 0x05, READ = 0x06, SEEK = 0x0A, EXIT_EXTENDED = 0x20 };
enum { MODE_READ_BINARY = 1, MODE_WRITE_BINARY = 5, STOPPED_APPLICATION_EXIT = 0x20026 };

static int32_t call(uint32_t operation, const void *argument) {
  register uint32_t r0 __asm("r0") = operation;
  register const void *r1 __asm("r1") = argument;
  __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return (int32_t)r0;
}

noreturn void emulator_exit(int status) {
  const uint32_t arguments[2] = {STOPPED_APPLICATION_EXIT, (uint32_t)status};
  call(EXIT_EXTENDED, arguments);
  for (;;) {
  }
}

void emulator_print(const char *text) { call(WRITE_TEXT, text); }

void emulator_print_number(uint32_t number) {
  char digits[11];
  char *at = digits + sizeof digits - 1;
  *at = '\0';
  do {
    *--at = (char)('0' + number % 10);
    number /= 10;
  } while (number);
  emulator_print(at);
}

static int open_file(const char *path, uint32_t mode) {
  const uint32_t arguments[3] = {(uint32_t)(uintptr_t)path, mode, strlen(path)};
  return (int)call(OPEN, arguments);
}

int emulator_open(const char *path) { return open_file(path, MODE_READ_BINARY); }

uint32_t emulator_read(int file, void *to, uint32_t count) {
  const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)(uintptr_t)to, count};
  return count - (uint32_t)call(READ, arguments);
}

void emulator_rewind(int file) {
  const uint32_t arguments[2] = {(uint32_t)file, 0};
  call(SEEK, arguments);
}

uint32_t emulator_write_out(const void *from, uint32_t count) {
  static int out = -1;
  if (out < 0) {
    out = open_file("out.bin", MODE_WRITE_BINARY);
  }
  const uint32_t arguments[3] = {(uint32_t)out, (uint32_t)(uintptr_t)from, count};
  return count - (uint32_t)call(WRITE, arguments);
}

#define REGISTER(address) (*(volatile uint32_t *)(address))
enum { TIMER_CONTROL = 0xE000E010, TIMER_RELOAD = 0xE000E014, TIMER_VALUE = 0xE000E018 };
enum { FROM_PROCESSOR_CLOCK = 5, LARGEST = 0xFFFFFF, INSTRUCTIONS_A_TICK = 40 };

static uint32_t last_value;
static uint64_t ticks;

void emulator_start_counting(void) {
  REGISTER(TIMER_RELOAD) = LARGEST;
  REGISTER(TIMER_VALUE) = 0;
  REGISTER(TIMER_CONTROL) = FROM_PROCESSOR_CLOCK;
  while (REGISTER(TIMER_VALUE) == 0) {
  }
  last_value = REGISTER(TIMER_VALUE);
  ticks = 0;
}

/* Uses differences of the timer's value only: the overflow flag cannot be read in the same instant, and the time would
 * jump. */
uint64_t emulator_count(void) {
  const uint32_t value = REGISTER(TIMER_VALUE);
  ticks += (last_value - value) & LARGEST;
  last_value = value;
  return ticks * INSTRUCTIONS_A_TICK;
}
