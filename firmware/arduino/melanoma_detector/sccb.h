/* The sensor's two-wire control bus (SCCB, close to I2C), on two pins by hand: it never waits for anything, so a sensor
 * that is not there costs a millisecond. */
#ifndef SCCB_H
#define SCCB_H

#include <stdint.h>

namespace sccb {

void begin();

/* False where the sensor did not acknowledge. */
bool write(uint8_t device, uint8_t address, uint8_t value);
bool read(uint8_t device, uint8_t address, uint8_t *value);

}  // namespace sccb

#endif
