/* What the sketch calls at the start, before the application. */
#ifndef BOARD_NANO33BLE_H
#define BOARD_NANO33BLE_H

/* Fills the stack below the caller with a pattern, so that its use can be measured later. */
void board_nano33ble_observe_stack();

#endif
