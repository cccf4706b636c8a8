/* What the emulator gives a program beside the board's own memory: text, files, an exit status, exact counts. */
#ifndef EMULATOR_H
#define EMULATOR_H

#include <stdint.h>
#include <stdnoreturn.h>

noreturn void emulator_exit(int status);
void emulator_print(const char *text);
void emulator_print_number(uint32_t number);

/* Opens a file of the host, to read; -1 where there is none. */
int emulator_open(const char *path);

/* Reads up to `count` bytes and returns how many came. */
uint32_t emulator_read(int file, void *to, uint32_t count);
void emulator_rewind(int file);
uint32_t emulator_write_out(const void *from, uint32_t count);

/* Instructions since the start, in steps of forty; exact with -icount shift=0, and the same on every run. It has to be
 * asked at least once in 600 million of them. */
void emulator_start_counting(void);
uint64_t emulator_count(void);

/* How much of the stack was ever used, in bytes. */
uint32_t emulator_stack_used(void);

#endif
