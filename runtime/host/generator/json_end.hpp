// The end of a JSON value without memory: nlohmann's destructor asks for some to flatten what is
// nested, and where there is none the process ends, for a destructor cannot throw.
#pragma once

#include <nlohmann/json.hpp>

namespace tessera {

// Declared after a value, it takes the value apart before that one's destructor runs.
template <class Json>
class JsonEnd {
  public:
    explicit JsonEnd(Json &json) : json_(json) {}
    ~JsonEnd() { take_apart(json_, kMaxDepth); }
    JsonEnd(const JsonEnd &) = delete;
    JsonEnd &operator=(const JsonEnd &) = delete;

  private:
    static constexpr int kMaxDepth = 64; // deeper ones are left to the destructor, not to recursion

    static void take_apart(Json &json, int depth) noexcept {
        if (depth == 0 || !json.is_structured()) return;
        for (Json &member : json) take_apart(member, depth - 1);
        json.clear();
    }

    Json &json_;
};

} // namespace tessera
