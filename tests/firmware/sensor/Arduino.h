/* Arduino's clock and interrupts in simulated time. */
#ifndef SIMULATED_ARDUINO_H
#define SIMULATED_ARDUINO_H

#include <stdint.h>

uint32_t millis();
uint32_t micros();
void delay(uint32_t ms);
void delayMicroseconds(uint32_t us);
void interrupts();
void noInterrupts();

#endif
