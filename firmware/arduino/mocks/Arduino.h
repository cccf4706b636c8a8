/* What the sketch uses of Arduino's header, declared and nothing more: enough to compile against, nothing to run. */
#ifndef MOCK_ARDUINO_H
#define MOCK_ARDUINO_H

#include <stddef.h>
#include <stdint.h>

#define LOW 0
#define HIGH 1
#define INPUT 0
#define OUTPUT 1

void pinMode(int pin, int mode);
void digitalWrite(int pin, int value);

unsigned long millis(void);
unsigned long micros(void);
void delay(unsigned long milliseconds);
void delayMicroseconds(unsigned int microseconds);
void interrupts(void);
void noInterrupts(void);

namespace arduino {

/* The serial port on USB, of the Mbed core: its base class has the one call that does not wait. */
class USBCDC {
 public:
  void send_nb(uint8_t *buffer, uint32_t size, uint32_t *actual, bool now = true);
};

class USBSerial : public USBCDC {
 public:
  void begin(unsigned long baud);
  bool connected();
  int available();
  int read();
  size_t write(const uint8_t *buffer, size_t size);
};

}  // namespace arduino

extern arduino::USBSerial Serial;

#endif
