#include "api/shared_run.hpp"

#include <tessera/ext/features.h>

#include <algorithm>
#include <utility>

namespace tessera::api {

SharedRun::SharedRun(std::vector<Share> shares) {
    for (Share &share : shares) members_.push_back({std::move(share), false});
}

Result<std::shared_ptr<SharedRun>> SharedRun::begin(Session &session, const ParamSnapshot &values,
                                                    std::uint32_t preview_every,
                                                    std::vector<Share> shares) {
    std::shared_ptr<SharedRun> shared(new SharedRun(std::move(shares)));
    SessionJob job;
    job.number = shared->members_.front().share.image.number;
    job.values = values;
    job.request.preview_every = preview_every;
    for (const Member &member : shared->members_) job.images.push_back(member.share.image);
    SessionCallbacks &first = shared->members_.front().share.callbacks;
    SessionCallbacks callbacks;
    callbacks.on_loading = std::exchange(first.on_loading, nullptr);
    callbacks.on_running = std::exchange(first.on_running, nullptr);
    callbacks.device_features = first.device_features;
    callbacks.should_stop = [raw = shared.get()] { return raw->should_stop(); };
    callbacks.on_event = [raw = shared.get()](PlayerEvent event) { raw->tell(std::move(event)); };
    SessionCallbacks later = callbacks;
    later.on_loading = nullptr; // belong to this call
    later.on_running = nullptr;
    auto run = session.begin(std::move(job), std::move(callbacks));
    if (!run) return run.error();
    shared->run_ = std::move(*run);
    shared->run_->set_callbacks(std::move(later));
    return shared;
}

bool SharedRun::should_stop() const {
    return std::all_of(members_.begin(), members_.end(), [](const Member &member) {
        return member.left || member.share.callbacks.should_stop();
    });
}

// How far the job is, and what it made of its values. What is of one picture goes to nobody: frames
// find their texture by number and tag.
void SharedRun::tell(PlayerEvent event) const {
    const bool is_of_all =
        event.type == PlayerEvent::Type::kProgress ||
        (event.type == PlayerEvent::Type::kFeatures && event.name == TESSERA_FEATURE_VALUES);
    if (!is_of_all || event.job == 0) return; // 0: of an activation
    for (const Member &member : members_) {
        if (member.left) continue;
        event.job = member.share.image.number;
        member.share.callbacks.on_event(event);
    }
}

Result<bool> SharedRun::step(std::uint32_t budget_us) {
    if (error_) return *error_;
    if (run_ == nullptr) return false;
    error_ = make_error(Status::kFailed, "its step threw"); // until it came back
    auto more = run_->step(budget_us);
    if (more && *more) {
        error_.reset();
        return true;
    }
    const auto run = std::move(run_);
    const auto ended = run->finish();
    error_.reset();
    if (!more) error_ = more.error();
    if (more && !ended) error_ = ended.error();
    if (error_) return *error_;
    return false;
}

void SharedRun::leave(std::size_t i) {
    members_[i].left = true;
    const bool is_last = std::all_of(members_.begin(), members_.end(),
                                     [](const Member &member) { return member.left; });
    if (!is_last || run_ == nullptr) return;
    const auto run = std::move(run_);
    (void)run->finish();
}

} // namespace tessera::api
