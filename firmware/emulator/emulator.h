/* Services of the emulator: text output, files of the host, an exit status and an exact instruction count. */
#ifndef EMULATOR_H
#define EMULATOR_H

#include <stdint.h>
#include <stdnoreturn.h>

noreturn void emulator_exit(int status);
void emulator_print(const char *text);
void emulator_print_number(uint32_t number);

/* Opens a file of the host for reading. Returns -1 if it does not exist. */
int emulator_open(const char *path);

/* Reads up to `count` bytes and returns their number. */
uint32_t emulator_read(int file, void *to, uint32_t count);
void emulator_rewind(int file);
uint32_t emulator_write_out(const void *from, uint32_t count);

/* The instructions since the start of counting, in steps of 40; reproducible with -icount shift=0. Must be called at
 * least once in 600 million instructions. */
void emulator_start_counting(void);
uint64_t emulator_count(void);

/* Returns the most stack that was used so far, in bytes. */
uint32_t emulator_stack_used(void);
uint32_t emulator_stack_size(void);

#endif
