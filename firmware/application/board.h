/* The interface to the board's serial line, clocks and watchdog. Each board implements these functions. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Returns the name for the message `version`, such as "nano33ble". */
const char *board_name(void);

/* Time since the start. Both counters may wrap around. */
uint32_t board_ms(void);
uint32_t board_us(void);

/* Returns the next byte received on the serial line, or -1 if there is none. Does not wait. */
int32_t board_read_byte(void);

/* Queues all `count` bytes (at most 1,024) for sending, or none. Returns false if there is no room for all of them or
 * no PC is connected. Does not wait. */
bool board_write(const char *text, uint32_t count);

/* Restarts the watchdog's countdown. Without a call for WATCHDOG_MS (config.h) the watchdog resets the board. A board
 * may do without a watchdog while a PC is connected. */
void board_feed_watchdog(void);

/* Resets the board at once. */
void board_restart(void);

/* A negative value is unknown. */
typedef struct {
  int32_t instruction_cache; /* 1 if it is on */
  int32_t watchdog;          /* 1 if it is running */
  int32_t stack_bytes;       /* the stack that was observed since the start ... */
  int32_t stack_used_bytes;  /* ... and the most that was used of it */
} board_facts;

board_facts board_read_facts(void);

#ifdef __cplusplus
}
#endif

#endif
