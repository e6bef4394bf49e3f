// One job of a generator that is a model: given pixels to tokens, the run, tokens to pictures, and
// the events in between, in units under the host's budget. Knows nothing of what the model is.
#pragma once

#include "blocks/shell/run.hpp"

#include <tessera/sdk/generator.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tessera::blocks {

class ModelJob {
  public:
    struct Spec {
        TokenGrid grid;
        int images = 1;
        std::vector<std::uint8_t> known;    // see RunSpec
        Deadline::Clock clock;              // the host's: what a step keeps its budget by
        std::uint32_t preview_every = 0;    // steps; 0: the last one only
        std::unique_ptr<Deadline> deadline; // for all images together, also known to the run
        std::string raised; // settings to lower when numbers end, see DiffusionParams::raised
        // Called at the end of a run with a deadline.
        std::function<void(const std::string &hurried, sdk::Progress)> report;
    };

    ModelJob(const sdk::Compute &compute, Spec spec, std::unique_ptr<Run> run,
             std::unique_ptr<Pictures> pictures, sdk::Sink sink);

    // See tessera_generator::step. Throws Failure at the step whose tokens, or whose picture, hold
    // values that are not numbers. A picture on the host is not sent then; one that stays on the
    // device may have been.
    sdk::Status step(std::uint32_t budget_us);

  private:
    enum class Phase { kEncode, kRun, kPictures, kDone };

    [[nodiscard]] double next_flops() const;
    // True at a boundary where control should go back when there is no budget to fill.
    bool run_unit();
    bool run_encode_unit();
    bool run_run_unit();
    bool run_picture_unit();
    void start_run();
    void start_pictures();
    void start_picture();
    void emit_picture();
    void watch(const sdk::View &rows, std::size_t place);
    void check_numbers();
    [[noreturn]] void refuse(const std::string &what) const;
    void emit_cells();
    void emit_chain();
    void emit_features();
    [[nodiscard]] sdk::Progress progress(int image = 0) const;

    sdk::Compute compute_;
    Spec spec_;
    sdk::Sink sink_;
    std::unique_ptr<Run> run_;
    std::unique_ptr<Pictures> pictures_;
    sdk::Tensor rgba_; // (H, W, 4) U8, where frames may be on another memory than the device

    // The first row that is not all numbers: of each image's picture, then of the tokens after step
    // 1, 2, ... On the host once the device is synchronized; -1 where nothing is awaited.
    sdk::Tensor first_bad_;
    std::vector<std::int32_t> bad_rows_;

    std::vector<std::uint8_t> cells_; // (S) of runs that leave them to this

    Phase phase_ = Phase::kEncode;
    int unit_ = 0;                  // of pictures_
    int image_ = 0;                 // being decoded
    double seconds_per_flop_ = 0.0; // measured, to judge whether a unit fits a budget
};

} // namespace tessera::blocks
