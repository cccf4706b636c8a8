/* The seam to what else a board has: a serial line, clocks, a watchdog. A board implements these functions. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The board's name in `version`: "nano33ble". */
const char *board_name(void);

/* Time since the start. Both may wrap around. */
uint32_t board_ms(void);
uint32_t board_us(void);

/* Takes one byte that has come over the serial line; -1 where none has. Never waits. */
int32_t board_read_byte(void);

/* Takes all `count` bytes (1,024 at most) or none; false where there is no room for them at once, or nobody listens. */
bool board_write(const char *text, uint32_t count);

/* Tells the watchdog that all is well; it starts the board anew WATCHDOG_MS (config.h) after the last call. */
void board_feed_watchdog(void);

#ifdef __cplusplus
}
#endif

#endif
