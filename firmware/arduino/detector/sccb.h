/* The two-wire control bus of the sensor (SCCB, similar to I2C), bit-banged on two pins. It never waits for the sensor:
 * an access to a missing sensor takes a millisecond. */
#ifndef SCCB_H
#define SCCB_H

#include <stdint.h>

namespace sccb {

void begin();

/* Return false if the sensor does not acknowledge. */
bool write(uint8_t device, uint8_t address, uint8_t value);
bool read(uint8_t device, uint8_t address, uint8_t *value);

}  // namespace sccb

#endif
