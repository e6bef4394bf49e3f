// A point of a plane: of the screen, a picture or a grid of tokens.
#pragma once

namespace tessera {

struct Point {
    float x = 0;
    float y = 0;
};

} // namespace tessera
