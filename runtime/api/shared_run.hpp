// A run that makes the pictures of several textures in one job of their model, each with its own
// seed and values (ext/batch.h). Every texture has its TextureRun with a share in it, and whoever
// has a turn steps it for all. On the thread that gives turns, for everything.
#pragma once

#include "host/run/session.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace tessera::api {

class SharedRun {
  public:
    // One of the pictures. Of the callbacks `on_event` is told what is news of all, and the run
    // stops when every `should_stop` wants it; `on_loading` and `on_running` are asked of the
    // first.
    struct Share {
        SessionImage image;
        SessionCallbacks callbacks;
    };

    // kBusy as Session::begin, which it outlives no longer than its shares. `values` are what all
    // have in common.
    [[nodiscard]] static Result<std::shared_ptr<SharedRun>> begin(Session &session,
                                                                  const ParamSnapshot &values,
                                                                  std::uint32_t preview_every,
                                                                  std::vector<Share> shares);

    // True: there is more to do. After false or an error it is over for all, and says so again.
    [[nodiscard]] Result<bool> step(std::uint32_t budget_us);
    // Share number `i` is given up; with the last one what is under way is cancelled.
    void leave(std::size_t i);

  private:
    struct Member {
        Share share;
        bool left = false;
    };
    explicit SharedRun(std::vector<Share> shares);
    [[nodiscard]] bool should_stop() const;
    void tell(PlayerEvent event) const;

    std::vector<Member> members_;
    std::unique_ptr<SessionRun> run_; // nullptr: it is over
    std::optional<Error> error_;      // why
};

} // namespace tessera::api
