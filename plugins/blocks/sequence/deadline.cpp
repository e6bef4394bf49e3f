// Keeping a deadline.
#include "blocks/sequence/deadline.hpp"

#include <utility>

namespace tessera::blocks {
namespace {

constexpr double kUsable = 0.95; // of the time; the rest is for what was measured too low

// A faster pace counts at once, a slower one by this weight: what was left out for a hiccup of the
// machine does not come back, while hurry can still be raised at the next step.
constexpr double kSlowerWeight = 0.4;

} // namespace

Deadline::Deadline(double seconds, Clock clock, Paces &paces)
    : seconds_(seconds), clock_(std::move(clock)), paces_(paces), began_(clock_()),
      part_began_(began_) {}

void Deadline::start() { part_began_ = clock_(); }

void Deadline::measure(double &pace, double work) {
    const double now = clock_();
    if (work <= 0.0) return;
    const double measured = (now - part_began_) / work;
    const bool faster = pace == 0.0 || measured < pace;
    pace = faster ? measured : pace + kSlowerWeight * (measured - pace);
}

bool Deadline::fits(const Work &work) const {
    // Until a picture was made it counts as that many operations of the sequence model.
    const double picture = paces_.picture > 0.0 ? paces_.picture : picture_flops_ * paces_.tower;
    const double needed =
        work.tower * paces_.tower + work.head * paces_.head + work.pictures * picture;
    return elapsed() + needed <= kUsable * seconds_;
}

} // namespace tessera::blocks
