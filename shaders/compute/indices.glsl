// Indices on their way into kernels. Of those on the host a rule has looked at every value; of those
// on the device a kernel does: the first that is out of range is noted in words that the host reads
// when it waits anyway, and not-a-number, or nothing, is written in its place.
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer BadIndex {
    uint operation; // 0: none
    int value, limit;
};

struct Checked {
    BadIndex bad;
    uint operation;
    uint limit;
};

bool is_inside(int index, Checked checked) {
    if (index >= 0 && uint(index) < checked.limit) return true;
    if (atomicCompSwap(checked.bad.operation, 0u, checked.operation) == 0u) {
        checked.bad.value = index;
        checked.bad.limit = int(checked.limit);
    }
    return false;
}
