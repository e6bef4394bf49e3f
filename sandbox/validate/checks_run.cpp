// Jobs: what a run shows, that it can be repeated, and that it can be ended at any step.
#include "host/generator/batch.hpp"
#include "sandbox/validate/subject.hpp"

#include <algorithm>
#include <initializer_list>

namespace tessera::validate {
namespace {

constexpr double kSlowUnitMs = 100;
constexpr std::uint64_t kMostCancels = 48;
constexpr std::size_t kFewFrames = 4;

// ---- activate ----------------------------------------------------------------------------------

void activates(const Options &options) { const Active active(options); }

void activates_again(const Options &options) {
    Active active(options);
    const ParamSnapshot values = active.params().snapshot();
    const tessera_generator *const table = active.table();
    const tessera_sink sink{
        nullptr,
        [](const tessera_sink *, std::uint32_t, std::uint32_t, tessera_tensor *) -> tessera_status {
            return TESSERA_ERROR_UNSUPPORTED;
        },
        [](const tessera_sink *, const tessera_event *) -> tessera_status { return TESSERA_OK; },
        [](const tessera_sink *) -> std::int32_t { return 0; }};
    for (const tessera_precision precision : {TESSERA_PRECISION_EXACT, TESSERA_PRECISION_DEFAULT}) {
        table->deactivate(table);
        const tessera_activation activation{sizeof activation,
                                            precision,
                                            &active.compute(),
                                            values.values.data(),
                                            static_cast<std::uint32_t>(values.values.size()),
                                            0};
        std::string error;
        const tessera_status status = guarded_call(
            "activate", error, [&] { return table->activate(table, &activation, &sink); });
        check_status("activate", status, error);
        if (status != TESSERA_OK) fail("activate again answers {}: {}", status, error);
    }
}

// ---- what a run shows --------------------------------------------------------------------------

void finishes(const Options &options) {
    Active active(options);
    const RunResult result = whole_run(active);
    for (const Picture &picture : result.pictures) {
        if (picture.bytes.empty()) fail("the job is done, and there is no picture");
    }
}

void is_final(const Options &options) {
    Active active(options);
    if (!whole_run(active).pictures[0].is_final) fail("the last picture is not marked FINAL");
}

// A whole run in which one kind of mistake is looked for.
template <std::string RunResult::*kMistake>
void no_mistake(const Options &options) {
    Active active(options);
    RunSettings settings;
    settings.preview_every = 1;
    const RunResult result = run(active, settings);
    if (!(result.*kMistake).empty()) fail("{}", result.*kMistake);
}

void few_frames(const Options &options) {
    Active active(options);
    const std::size_t most = run(active).most_frames;
    if (most > kFewFrames)
        fail("holds {} frames at once; a ring has {} or fewer", most, kFewFrames);
}

void in_bounds(const Options &options) {
    Active active(options);
    RunSettings settings;
    settings.frames = Frames::kGuarded;
    (void)run(active, settings); // a byte behind a frame ends this process
}

void not_after_emit(const Options &options) {
    Active active(options);
    RunSettings settings;
    settings.frames = Frames::kGone;
    settings.preview_every = 1;
    (void)run(active, settings);
}

void allocates_nothing(const Options &options) {
    if (!allocations::are_counted()) skip("a sanitizer has the allocator");
    Active active(options);
    (void)run(active); // what is made on first use
    const RunResult result = run(active);
    if (result.allocations > 0) {
        fail("{} allocations in {} steps; `begin` allocates all that a job needs",
             result.allocations, result.steps);
    }
}

void short_units(const Options &options) {
    Active active(options);
    (void)run(active);
    const double longest = run(active).longest_step_ms;
    if (longest > kSlowUnitMs) {
        warn("the longest unit takes {:.0f} ms; a frame has to wait for it", longest);
    }
}

// ---- the same again ----------------------------------------------------------------------------

void expect_same(const RunResult &one, const RunResult &other, std::string_view difference) {
    for (std::size_t i = 0; i < one.pictures.size(); ++i) {
        if (one.pictures[i].bytes != other.pictures[i].bytes) {
            fail("the picture changes with {}", difference);
        }
    }
}

void same_again(const Options &options) {
    Active active(options);
    const RunResult first = whole_run(active);
    expect_same(first, whole_run(active), "nothing but the time and the number of the run");
    Active other(options);
    expect_same(first, whole_run(other), "the instance");
}

void other_seed(const Options &options) {
    Active active(options);
    RunSettings settings;
    const RunResult first = whole_run(active, settings);
    settings.seed = 8;
    if (first.pictures == whole_run(active, settings).pictures) warn("two seeds, one picture");
}

void same_with_budget(const Options &options) {
    Active active(options);
    RunSettings settings;
    const RunResult first = whole_run(active, settings);
    for (const std::uint32_t budget : {500U, 20'000U, UINT32_MAX}) {
        settings.budget_us = budget;
        expect_same(first, whole_run(active, settings), "the budget of a step");
    }
}

void same_with_previews(const Options &options) {
    Active active(options);
    RunSettings settings;
    const RunResult first = whole_run(active, settings);
    settings.preview_every = 1;
    expect_same(first, whole_run(active, settings), "previews");
}

void same_with_threads(const Options &options) {
    Options other = options;
    other.threads = options.threads == 1 ? 3 : 1;
    Active active(options);
    Active one(other);
    expect_same(whole_run(active), whole_run(one), "the number of threads");
}

void same_in_batch(const Options &options) {
    Active active(options);
    RunSettings batch;
    batch.images = 2;
    batch.first_image = 3;
    const RunResult both = run(active, batch);
    if (both.begun != TESSERA_OK) {
        check_status("begin", both.begun, both.error);
        skip("one image at a time: {}", both.error);
    }
    for (std::uint32_t i = 0; i < batch.images; ++i) {
        RunSettings alone;
        alone.first_image = batch.first_image + i;
        if (whole_run(active, alone).pictures[0].bytes != both.pictures[i].bytes) {
            fail("image {} of a job of two is not what it is alone", i);
        }
    }
}

// Requests that differ in all that may differ: seeds, and values from the lowest to the highest.
void same_in_batch_of_requests(const Options &options) {
    Active active(options);
    const auto batch = read_batch(*active.table(), active.params(), active.input_keys());
    if (!batch || !*batch) skip("has no " TESSERA_EXT_BATCH);
    constexpr std::uint32_t kRequests = 3;
    std::vector<ParamSnapshot> values(kRequests);
    std::vector<tessera_image_request> own;
    for (std::uint32_t i = 0; i < kRequests; ++i) {
        Params params = active.params();
        for (const Param &param : active.params().descriptions()) {
            if (i == 0 || !may_differ(*batch, param) || param.type == ParamType::kText) continue;
            const double share = static_cast<double>(i) / (kRequests + 1);
            const double value = conform(param, param.min + share * (param.max - param.min));
            if (auto set = params.set(param.id, value); !set) fail("{}", set.error().message);
        }
        values[i] = params.snapshot();
        own.emplace_back();
        own.back().seed = 7 + i / 2;
        own.back().values = values[i].values.data();
    }
    RunSettings together;
    together.images = kRequests;
    together.own = &own;
    together.values = &values[0].values;
    const RunResult all = whole_run(active, together);
    for (std::uint32_t i = 0; i < kRequests; ++i) {
        RunSettings alone;
        alone.seed = own[i].seed;
        alone.values = &values[i].values;
        if (whole_run(active, alone).pictures[0].bytes != all.pictures[i].bytes) {
            fail("request {} of a job of {} is not what it is alone", i, kRequests);
        }
    }
}

// ---- ended early -------------------------------------------------------------------------------

void cancels_at(Active &active, std::int64_t steps) {
    RunSettings settings;
    settings.steps = steps;
    (void)run(active, settings);
}

void cancel_at_once(const Options &options) {
    Active active(options);
    cancels_at(active, 0);
}

void cancel_at_every_step(const Options &options) {
    Active active(options);
    const std::uint64_t steps = run(active).steps;
    const std::uint64_t stride = std::max<std::uint64_t>(1, steps / kMostCancels);
    for (std::uint64_t i = 1; i < steps; i += stride)
        cancels_at(active, static_cast<std::int64_t>(i));
}

void cancel_leaves_nothing(const Options &options) {
    Active active(options);
    const RunResult first = whole_run(active);
    cancels_at(active, static_cast<std::int64_t>(first.steps / 2));
    expect_same(first, whole_run(active), "a run that was ended before it");
}

void stop_is_heard(const Options &options) {
    Active active(options);
    RunSettings settings;
    settings.stop = true;
    settings.steps = 64;
    const RunResult result = run(active, settings);
    if (result.begun == TESSERA_OK && result.ended != TESSERA_MORE) {
        check_status("step", result.ended, result.error);
    }
}

constexpr Check kChecks[] = {
    {"activate.works", "It becomes active.", {"params.readable"}, activates},
    {"activate.again",
     "Active again, exact and not, after being inactive.",
     {"activate.works"},
     activates_again},
    {"run.finishes", "A job ends well, with a picture.", {"activate.works"}, finishes},
    {"run.final", "The last picture is marked FINAL.", {"run.finishes"}, is_final},
    {"run.status-of-events",
     "Events have a type that exists.",
     {"run.finishes"},
     no_mistake<&RunResult::bad_type>},
    {"run.progress",
     "Steps only rise, to at most their total.",
     {"run.finishes"},
     no_mistake<&RunResult::bad_progress>},
    {"run.images",
     "Events are of images that were asked for, once final.",
     {"run.finishes"},
     no_mistake<&RunResult::bad_image>},
    {"run.cells",
     "Cells are bytes from 0 to 3.",
     {"run.finishes"},
     no_mistake<&RunResult::bad_cells>},
    {"run.features",
     "Features have a name and a tensor.",
     {"run.finishes"},
     no_mistake<&RunResult::bad_features>},
    {"run.allocates-nothing", "`step` allocates nothing.", {"run.finishes"}, allocates_nothing},
    {"run.short-units",
     "A unit takes less than a tenth of a second.",
     {"run.finishes"},
     short_units},
    {"frames.own",
     "Only frames that it holds are emitted.",
     {"run.finishes"},
     no_mistake<&RunResult::foreign_frame>},
    {"frames.few", "It holds few frames at once.", {"run.finishes"}, few_frames},
    {"frames.in-bounds", "Nothing is written behind a frame.", {"run.finishes"}, in_bounds},
    {"frames.not-after-emit",
     "Nothing is written to a frame that was emitted.",
     {"frames.in-bounds"},
     not_after_emit},
    {"same.again", "The same request, the same picture.", {"run.finishes"}, same_again},
    {"same.other-seed", "Another seed, another picture.", {"same.again"}, other_seed},
    {"same.budget", "The budget changes no byte.", {"same.again"}, same_with_budget},
    {"same.previews", "Previews change no byte.", {"same.again"}, same_with_previews},
    {"same.threads", "The number of threads changes no byte.", {"same.again"}, same_with_threads},
    {"same.batch", "An image is the same alone and among others.", {"same.again"}, same_in_batch},
    {"same.requests",
     "A request is the same alone and among others.",
     {"same.batch", "batch.readable"},
     same_in_batch_of_requests},
    {"cancel.at-once", "It ends right after `begin`.", {"run.finishes"}, cancel_at_once},
    {"cancel.every-step", "It ends at every step.", {"cancel.at-once"}, cancel_at_every_step},
    {"cancel.leaves-nothing",
     "A run that was ended changes no later one.",
     {"cancel.every-step", "same.again"},
     cancel_leaves_nothing},
    {"cancel.stop",
     "A job that is told to stop gives control back.",
     {"cancel.every-step"},
     stop_is_heard},
};

} // namespace

std::span<const Check> run_checks() { return kChecks; }

} // namespace tessera::validate
