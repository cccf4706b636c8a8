/* Declarations that the sketch needs of Arduino's core, as the core has them. The sketch compiles against them; they
 * cannot be linked.
 *
 * Read from arduino/ArduinoCore-mbed 4.6.0 and arduino/ArduinoCore-API 1.5.2:
 * PinStatus, PinMode, pinMode ... delayMicroseconds: api/Common.h. Print, Stream, HardwareSerial: api/Print.h,
 * api/Stream.h, api/HardwareSerial.h. arduino::UART: cores/arduino/Serial.h. interrupts(), Serial:
 * cores/arduino/Arduino.h. LEDR, LEDG, LEDB: variants/ARDUINO_NANO33BLE/pins_arduino.h. */
#ifndef MOCK_ARDUINO_H
#define MOCK_ARDUINO_H

#include <stddef.h>
#include <stdint.h>

#include "nrf.h"

extern "C" {

typedef enum { LOW = 0, HIGH = 1, CHANGE = 2, FALLING = 3, RISING = 4 } PinStatus;
typedef enum {
  INPUT = 0x0,
  OUTPUT = 0x1,
  INPUT_PULLUP = 0x2,
  INPUT_PULLDOWN = 0x3,
  OUTPUT_OPENDRAIN = 0x4,
} PinMode;
typedef uint8_t pin_size_t;

void pinMode(pin_size_t pinNumber, PinMode pinMode);
void digitalWrite(pin_size_t pinNumber, PinStatus status);

unsigned long millis(void);
unsigned long micros(void);
void delay(unsigned long);
void delayMicroseconds(unsigned int us);

void setup(void);
void loop(void);
}

#define interrupts() __enable_irq()
#define noInterrupts() __disable_irq()

#define LEDR (22u)
#define LEDG (23u)
#define LEDB (24u)

namespace arduino {

class Print {
 public:
  virtual size_t write(uint8_t) = 0;
  virtual size_t write(const uint8_t *buffer, size_t size);
  virtual int availableForWrite();
  virtual void flush();
};

class Stream : public Print {
 public:
  virtual int available() = 0;
  virtual int read() = 0;
  virtual int peek() = 0;
};

class HardwareSerial : public Stream {
 public:
  virtual void begin(unsigned long) = 0;
  virtual void begin(unsigned long baudrate, uint16_t config) = 0;
  virtual void end() = 0;
  virtual int available(void) = 0;
  virtual int peek(void) = 0;
  virtual int read(void) = 0;
  virtual void flush(void) = 0;
  virtual size_t write(uint8_t) = 0;
  using Print::write;
  virtual operator bool() = 0;
};

/* What `Serial` is since 2.0.0: it has neither send_nb nor connected. */
class UART : public HardwareSerial {
 public:
  void begin(unsigned long);
  void begin(unsigned long baudrate, uint16_t config);
  void end();
  int available(void);
  int peek(void);
  int read(void);
  void flush(void);
  size_t write(uint8_t c);
  size_t write(const uint8_t *, size_t);
  using Print::write;
  operator bool();
};

}  // namespace arduino

using namespace arduino;

extern arduino::UART _UART_USB_;
#define Serial _UART_USB_

#endif
