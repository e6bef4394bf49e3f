#include "host/edit/run_history.hpp"

#include <tessera/ext/features.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace tessera {
namespace {

constexpr std::size_t kMaxRuns = 1000;

auto position(auto &steps, std::uint32_t step) {
    return std::lower_bound(
        steps.begin(), steps.end(), step,
        [](const RunStep &entry, std::uint32_t wanted) { return entry.step < wanted; });
}

template <class Bytes>
std::shared_ptr<const Latents> latents_of(const std::vector<std::int64_t> &shape,
                                          const Bytes &bytes) {
    auto latents = std::make_shared<Latents>();
    latents->height = static_cast<std::uint32_t>(shape[0]);
    latents->width = static_cast<std::uint32_t>(shape[1]);
    latents->channels = static_cast<std::uint32_t>(shape[2]);
    latents->values = floats_of(bytes);
    return latents;
}

std::shared_ptr<const Image> picture_of(const KeptTensor &kept,
                                        const std::vector<std::byte> &bytes) {
    auto image = std::make_shared<Image>();
    image->height = static_cast<std::uint32_t>(kept.shape()[0]);
    image->width = static_cast<std::uint32_t>(kept.shape()[1]);
    image->channels = static_cast<std::uint32_t>(kept.shape()[2]);
    image->pixels.resize(bytes.size());
    std::memcpy(image->pixels.data(), bytes.data(), bytes.size());
    return image;
}

// What was read of a kept tensor; asks for it when nothing was.
KeptTensor::Bytes wanted_bytes(const std::shared_ptr<const KeptTensor> &kept) {
    if (kept == nullptr) return nullptr;
    auto bytes = kept->bytes();
    if (bytes == nullptr) kept->want();
    return bytes;
}

} // namespace

std::uint32_t RunStep::latent_channels() const {
    if (latents != nullptr) return latents->channels;
    return kept_latents != nullptr ? static_cast<std::uint32_t>(kept_latents->shape()[2]) : 0;
}

bool RunStep::fetch() {
    if (const auto bytes = wanted_bytes(kept_picture)) {
        picture = picture_of(*kept_picture, *bytes);
        kept_picture.reset();
    }
    if (const auto bytes = wanted_bytes(kept_latents)) {
        latents = latents_of(kept_latents->shape(), *bytes);
        kept_latents.reset();
    }
    return kept_picture == nullptr && kept_latents == nullptr;
}

const RunStep *RunRecord::find(std::uint32_t step) const {
    const auto at = position(steps, step);
    return at != steps.end() && at->step == step ? &*at : nullptr;
}

const RunStep *RunRecord::last_picture() const {
    const auto at = std::find_if(steps.rbegin(), steps.rend(),
                                 [](const RunStep &step) { return step.has_picture(); });
    return at != steps.rend() ? &*at : nullptr;
}

std::size_t RunHistory::bytes_of(const RunStep &step) {
    std::size_t bytes = sizeof step + step.cells.size();
    if (step.picture) bytes += step.picture->pixels.size();
    if (step.latents) bytes += step.latents->values.size() * sizeof(float);
    if (step.kept_picture) bytes += step.kept_picture->size_bytes();
    if (step.kept_latents) bytes += step.kept_latents->size_bytes();
    return bytes;
}

std::size_t RunHistory::bytes_of(const RunRecord &run) {
    std::size_t bytes = sizeof run + run.made_at.size() * sizeof run.made_at[0];
    for (const RunStep &step : run.steps) bytes += bytes_of(step);
    if (run.chain != nullptr) bytes += run.chain->values.size() * sizeof(float);
    return bytes;
}

void RunHistory::begin(RunRecord run) {
    bytes_ += bytes_of(run);
    runs_.push_back(std::move(run));
    shrink();
}

const RunRecord *RunHistory::find(std::uint64_t job) const {
    const auto at = std::find_if(runs_.rbegin(), runs_.rend(),
                                 [job](const RunRecord &run) { return run.job == job; });
    return at != runs_.rend() ? &*at : nullptr;
}

RunRecord *RunHistory::record_of(std::uint64_t job) { return const_cast<RunRecord *>(find(job)); }

RunStep *RunHistory::step_of(RunRecord &run, std::uint32_t step) {
    auto at = position(run.steps, step);
    if (at == run.steps.end() || at->step != step) {
        at = run.steps.insert(at, RunStep{});
        at->step = step;
        bytes_ += bytes_of(*at);
    }
    return &*at;
}

void RunHistory::note_cells(RunRecord &run, const PlayerEvent &event) {
    run.rows = static_cast<std::uint32_t>(event.shape[0]);
    run.columns = static_cast<std::uint32_t>(event.shape[1]);
    if (run.made_at.size() != event.bytes.size()) {
        bytes_ -= run.made_at.size() * sizeof run.made_at[0];
        run.made_at.assign(event.bytes.size(), RunRecord::kNever);
        bytes_ += run.made_at.size() * sizeof run.made_at[0];
    }
    RunStep &step = *step_of(run, event.step);
    bytes_ -= step.cells.size();
    step.cells.resize(event.bytes.size());
    std::memcpy(step.cells.data(), event.bytes.data(), event.bytes.size());
    bytes_ += step.cells.size();
    for (std::size_t i = 0; i < step.cells.size(); ++i) {
        if (run.made_at[i] != RunRecord::kNever || step.cells[i] == TESSERA_CELL_UNKNOWN) continue;
        run.made_at[i] = step.cells[i] == TESSERA_CELL_GIVEN ? RunRecord::kGiven : event.step;
    }
}

void RunHistory::note_latents(RunRecord &run, const PlayerEvent &event) {
    if (event.shape.size() != 3 || event.dtype != TESSERA_DTYPE_F32) return;
    RunStep &step = *step_of(run, event.step);
    bytes_ -= bytes_of(step);
    step.kept_latents = event.kept;
    step.latents = event.kept == nullptr ? latents_of(event.shape, event.bytes) : nullptr;
    bytes_ += bytes_of(step);
}

void RunHistory::note_chain(RunRecord &run, const PlayerEvent &event) {
    if (event.shape.size() != 2 || event.shape[0] < 2 || event.dtype != TESSERA_DTYPE_F32) return;
    auto chain = std::make_shared<TokenChain>();
    chain->step = event.step;
    chain->denoise = static_cast<std::uint32_t>(event.shape[0]) - 1;
    chain->width = static_cast<std::uint32_t>(event.shape[1]);
    chain->values = floats_of(event.bytes);
    bytes_ -= bytes_of(run);
    run.chain = std::move(chain);
    bytes_ += bytes_of(run);
}

void RunHistory::note(const PlayerEvent &event) {
    RunRecord *const run = record_of(event.job);
    if (run == nullptr || event.image != 0) return;
    run->total_steps = std::max(run->total_steps, event.total_steps);
    switch (event.type) {
    case PlayerEvent::Type::kCells:
        note_cells(*run, event);
        break;
    case PlayerEvent::Type::kFeatures:
        if (event.name == TESSERA_FEATURE_LATENTS) note_latents(*run, event);
        if (event.name == TESSERA_FEATURE_CHAIN) note_chain(*run, event);
        break;
    case PlayerEvent::Type::kFinished:
    case PlayerEvent::Type::kCancelled:
    case PlayerEvent::Type::kFailed:
        run->ended = true;
        break;
    case PlayerEvent::Type::kActivated:
    case PlayerEvent::Type::kProgress:
    case PlayerEvent::Type::kImage:
        break;
    }
    shrink();
}

bool RunHistory::fetch(std::uint64_t job, std::uint32_t step) {
    RunRecord *const run = record_of(job);
    if (run == nullptr) return false;
    const auto at = position(run->steps, step);
    if (at == run->steps.end() || at->step != step) return false;
    bytes_ -= bytes_of(*at);
    const bool is_there = at->fetch();
    bytes_ += bytes_of(*at);
    return is_there;
}

void RunHistory::add(const RecordedPicture &picture) {
    RunRecord *const run = record_of(picture.info.job);
    if (run == nullptr || picture.info.image != 0) return;
    run->total_steps = std::max(run->total_steps, picture.info.total_steps);
    RunStep &step = *step_of(*run, picture.info.step);
    bytes_ -= bytes_of(step);
    step.picture = picture.image;
    step.kept_picture = picture.kept;
    bytes_ += bytes_of(step);
    shrink();
}

// Every second step goes; the last one stays.
void RunHistory::thin(RunRecord &run) {
    bytes_ -= bytes_of(run);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < run.steps.size(); ++i) {
        const bool keep = (run.steps.size() - 1 - i) % 2 == 0;
        if (keep && kept != i) run.steps[kept] = std::move(run.steps[i]);
        kept += keep ? 1 : 0;
    }
    run.steps.resize(kept);
    bytes_ += bytes_of(run);
}

void RunHistory::shrink() {
    if (runs_.size() > kMaxRuns) {
        bytes_ -= bytes_of(runs_.front());
        runs_.pop_front();
    }
    while (bytes_ > max_bytes_ && !runs_.empty()) {
        const auto newest = std::prev(runs_.end());
        const auto long_one = std::find_if(
            runs_.begin(), newest, [](const RunRecord &run) { return run.steps.size() > 1; });
        if (long_one != newest) {
            bytes_ -= bytes_of(*long_one);
            const RunStep *const last = long_one->last_picture();
            const RunStep kept = last != nullptr ? *last : long_one->steps.back();
            long_one->steps.assign(1, kept);
            bytes_ += bytes_of(*long_one);
        } else if (runs_.size() > 1) {
            bytes_ -= bytes_of(runs_.front());
            runs_.pop_front();
        } else if (newest->steps.size() > 2) {
            thin(*newest);
        } else {
            return; // a single picture that is larger than the bound
        }
    }
}

} // namespace tessera
