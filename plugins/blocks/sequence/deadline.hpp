// Keeping a deadline: measured costs of what a run does, and how much the rest of it must hurry.
#pragma once

#include <functional>

namespace tessera::blocks {

// Seconds per unit of work; 0: not measured yet. Kept between jobs, so that the next one knows.
struct Paces {
    double tower = 0.0;   // a floating-point operation of the sequence model
    double head = 0.0;    // one of the denoiser, see head_work
    double picture = 0.0; // a decoded picture
};

// Work of the denoiser: a pass over few rows reads all weights and costs about as much as one over
// `kRowsOfAPass` rows more.
inline constexpr double kRowsOfAPass = 8.0;
[[nodiscard]] constexpr double head_work(double rows, double flops_of_a_row) {
    return (rows + kRowsOfAPass) * flops_of_a_row;
}

// Work that is to come.
struct Work {
    double tower = 0.0;
    double head = 0.0;
    double pictures = 0.0;
};

class Deadline {
  public:
    using Clock = std::function<double()>; // seconds that only grow

    // The time begins now. `paces` is read and updated and outlives this.
    Deadline(double seconds, Clock clock, Paces &paces);

    // Work of a picture, for as long as none was measured.
    void expect_picture(double flops) { picture_flops_ = flops; }

    // A part is measured from `start` to one of the others; parts may follow each other at any
    // distance, but the time between them counts.
    void start();
    void measured_tower(double work) { measure(paces_.tower, work); }
    void measured_head(double work) { measure(paces_.head, work); }
    void measured_picture() { measure(paces_.picture, 1.0); }

    [[nodiscard]] double seconds() const { return seconds_; }
    [[nodiscard]] double elapsed() const { return clock_() - began_; }
    // True when the work fits what is left of the time, as far as the paces are known.
    [[nodiscard]] bool fits(const Work &work) const;

  private:
    void measure(double &pace, double work);

    double seconds_;
    Clock clock_;
    Paces &paces_;
    double picture_flops_ = 0.0;
    double began_;
    double part_began_;
};

} // namespace tessera::blocks
