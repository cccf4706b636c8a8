/* Declarations of Arduino's API that the sketch uses. The sketch compiles against them; they cannot be linked. */
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

/* The USB serial port of the Mbed core. The base class has the only write that does not block. */
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
