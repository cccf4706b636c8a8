/* A simulated nRF52840 with an OV7675, instead of Nordic's header. Accesses of the driver take simulated time, and the
 * waveforms of the sensor are functions of that time. */
#ifndef SIMULATED_NRF_H
#define SIMULATED_NRF_H

#include <stdint.h>

namespace sim {

void pass(uint64_t ns);
uint32_t read_port(int port);
void set_port(int port, uint32_t bits, bool high);
uint32_t count_lines();
uint32_t lines_at_frame();
bool frame_event();
void forget_frame_event();

/* A register that keeps the value written. */
struct Register {
  uint32_t value = 0;
  operator uint32_t() const { return value; }
  void operator=(uint32_t given) {
    pass(60);
    value = given;
  }
};

template <int port>
struct In {
  operator uint32_t() const {
    pass(80);
    return read_port(port);
  }
};
template <int port, bool high>
struct Out {
  void operator=(uint32_t bits) {
    pass(60);
    set_port(port, bits, high);
  }
};
template <int port>
struct Gpio {
  In<port> IN;
  Out<port, true> OUTSET;
  Out<port, false> OUTCLR;
  Register PIN_CNF[32];
};

extern uint32_t captured;
struct Capture {
  void operator=(uint32_t) {
    pass(60);
    captured = count_lines();
  }
};
struct Count {
  int place;
  operator uint32_t() const { return place == 0 ? captured : lines_at_frame(); }
};
struct Timer {
  Register TASKS_START, TASKS_STOP, TASKS_COUNT, TASKS_CLEAR, MODE, BITMODE;
  Capture TASKS_CAPTURE[2];
  Count CC[2] = {{0}, {1}};
};

struct Event {
  bool is_frame;
  operator uint32_t() const {
    pass(60);
    return is_frame && frame_event();
  }
  void operator=(uint32_t) { forget_frame_event(); }
};
struct Gpiote {
  Register CONFIG[8];
  Event EVENTS_IN[8] = {{false}, {false}, {false}, {false}, {false}, {false}, {true}, {false}};
};
struct Channel {
  Register EEP, TEP;
};
struct Ppi {
  Register CHENSET;
  Channel CH[20];
};
/* The clock starts only on a pin that is an output. */
struct StartClock {
  void operator=(uint32_t);
};
struct Nvmc {
  Register ICACHECNF;
};
struct I2s {
  struct {
    Register MCKEN, MCKFREQ, MODE;
  } CONFIG;
  struct {
    Register MCK;
  } PSEL;
  Register ENABLE;
  StartClock TASKS_START;
};

extern Gpio<0> p0;
extern Gpio<1> p1;
extern Timer timer;
extern Gpiote gpiote;
extern Ppi ppi;
extern I2s i2s;
extern Nvmc nvmc;

}  // namespace sim

#define NRF_P0 (&sim::p0)
#define NRF_P1 (&sim::p1)
#define NRF_TIMER3 (&sim::timer)
#define NRF_GPIOTE (&sim::gpiote)
#define NRF_PPI (&sim::ppi)
#define NRF_I2S (&sim::i2s)
#define NRF_NVMC (&sim::nvmc)

enum : uint32_t {
  GPIO_PIN_CNF_DIR_Pos = 0,
  GPIO_PIN_CNF_DIR_Input = 0,
  GPIO_PIN_CNF_DIR_Output = 1,
  GPIO_PIN_CNF_INPUT_Pos = 1,
  GPIO_PIN_CNF_INPUT_Connect = 0,
  GPIO_PIN_CNF_INPUT_Disconnect = 1,
  GPIO_PIN_CNF_PULL_Pos = 2,
  GPIO_PIN_CNF_PULL_Pulldown = 1,
  GPIO_PIN_CNF_PULL_Pullup = 3,
  GPIO_PIN_CNF_DRIVE_Pos = 8,
  GPIO_PIN_CNF_DRIVE_S0D1 = 6,
  TIMER_MODE_MODE_Pos = 0,
  TIMER_MODE_MODE_Counter = 1,
  TIMER_BITMODE_BITMODE_Pos = 0,
  TIMER_BITMODE_BITMODE_32Bit = 3,
  GPIOTE_CONFIG_MODE_Pos = 0,
  GPIOTE_CONFIG_MODE_Event = 1,
  GPIOTE_CONFIG_PSEL_Pos = 8,
  GPIOTE_CONFIG_POLARITY_Pos = 16,
  GPIOTE_CONFIG_POLARITY_LoToHi = 1,
  GPIOTE_CONFIG_POLARITY_HiToLo = 2,
  NVMC_ICACHECNF_CACHEEN_Pos = 0,
  NVMC_ICACHECNF_CACHEEN_Enabled = 1,
};

#endif
