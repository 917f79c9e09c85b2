package queue

import "encoding/binary"

// frameTag introduces each frame: field 2 (ScopeSpans.spans), length-delimited.
const frameTag = 0x12

// frameLen gives the length of the first frame of frames, tag and length included, or 0 when there is no whole one.
func frameLen(frames []byte) int {
	if len(frames) < 2 || frames[0] != frameTag {
		return 0
	}
	size, width := binary.Uvarint(frames[1:])
	if width <= 0 || size > uint64(len(frames)-1-width) {
		return 0
	}
	return 1 + width + int(size)
}

// checkFrames walks frames, removes in place those longer than limit and gives what is left. ok is false when the
// bytes are not n whole frames.
func checkFrames(frames []byte, n, limit int) (kept []byte, tooLarge int, ok bool) {
	end, found := 0, 0
	for pos := 0; pos < len(frames); found++ {
		size := frameLen(frames[pos:])
		if size == 0 {
			return nil, 0, false
		}
		switch {
		case size > limit:
			tooLarge++
		case end == pos:
			end += size
		default:
			end += copy(frames[end:], frames[pos:pos+size])
		}
		pos += size
	}
	return frames[:end], tooLarge, found == n
}

// cutFrames gives the length and number of the leading frames that stay within maxEntries and maxBytes. The frames
// must have passed checkFrames.
func cutFrames(frames []byte, maxEntries, maxBytes int) (size, n int) {
	for n < maxEntries && size < len(frames) {
		next := frameLen(frames[size:])
		if next == 0 || size+next > maxBytes {
			break
		}
		size += next
		n++
	}
	return size, n
}
