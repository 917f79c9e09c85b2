package otlp

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Truncated is the attribute, a boolean, of a span or log record from which something was cut so that a post can hold it.
const Truncated = "sidekong.truncated"

// minText is the length below which no attribute's text is cut.
const minText = 16

// AppendFramesWithin is AppendFrames with no frame longer than limit, as far as that can be: in a longer one the
// longest texts of attributes are cut, to one length, and where that is not enough the span loses its attributes and
// events. Such a span says so by Truncated.
func (f Frames) AppendFramesWithin(buf []byte, limit int) (out []byte, n int) {
	frames, n := f.AppendFrames(nil)
	for len(frames) > 0 {
		_, _, size := protowire.ConsumeField(frames)
		if size < 0 {
			return append(buf, frames...), n // not ours to judge
		}
		buf = append(buf, shorten(frames[:size], limit, cutSpan)...)
		frames = frames[size:]
	}
	return buf, n
}

// shorten gives the frame, or a shorter one in its place that cut makes of the record.
func shorten(frame []byte, limit int, cut func(record []byte, longest int, bare bool) []byte) []byte {
	if len(frame) <= limit {
		return frame
	}
	_, _, tag := protowire.ConsumeTag(frame)
	record, _ := protowire.ConsumeBytes(frame[tag:])
	var short []byte
	for longest := limit / 2; ; longest /= 2 {
		bare := longest < minText
		short = append(short[:0], tagScopeRecord)
		short = protowire.AppendBytes(short, cut(record, longest, bare))
		if len(short) <= limit || bare {
			return short
		}
	}
}

// cutSpan copies a Span message with no text of an attribute longer than longest bytes; bare: without attributes,
// events and trace state, and with a short name.
func cutSpan(span []byte, longest int, bare bool) []byte {
	out := make([]byte, 0, min(len(span), 64<<10))
	eachField(span, func(tag byte, raw, value []byte) {
		switch {
		case bare && (tag == tagSpanAttribute || tag == tagSpanEvent || tag == tagSpanState):
		case bare && tag == tagSpanName:
			out = appendBytes(out, tag, cutText(value, 4*minText))
		case tag == tagSpanAttribute:
			out = appendBytes(out, tag, cutAttribute(value, longest))
		case tag == tagSpanEvent:
			out = appendBytes(out, tag, cutField(value, tagEventAttribute, longest, cutAttribute))
		case tag == tagSpanStatus:
			out = appendBytes(out, tag, cutField(value, tagStatusMessage, longest, cutText))
		default:
			out = append(out, raw...)
		}
	})
	return appendMark(out, tagSpanAttribute)
}

// appendMark appends the attribute Truncated.
func appendMark(record []byte, attribute byte) []byte {
	mark := appendBytes(nil, tagKey, []byte(Truncated))
	mark = appendBytes(mark, tagValue, []byte{tagBool, 1})
	return appendBytes(record, attribute, mark)
}

// cutAttribute copies a KeyValue message.
func cutAttribute(pair []byte, longest int) []byte {
	return cutField(pair, tagValue, longest, func(value []byte, longest int) []byte {
		return cutField(value, tagString, longest, cutText)
	})
}

// cutField copies a message in which the values of one field are cut.
func cutField(message []byte, field byte, longest int, cut func(value []byte, longest int) []byte) []byte {
	if len(message) <= longest {
		return message
	}
	var out []byte
	eachField(message, func(tag byte, raw, value []byte) {
		if tag == field {
			out = appendBytes(out, tag, cut(value, longest))
		} else {
			out = append(out, raw...)
		}
	})
	return out
}

// cutText gives the leading bytes of a text, longest at most, and no half of a character.
func cutText(text []byte, longest int) []byte {
	if len(text) <= longest {
		return text
	}
	for longest > 0 && !utf8.RuneStart(text[longest]) {
		longest--
	}
	return text[:longest]
}

// eachField walks a message's fields: the first byte of the tag, the field as it stands, and the value of those that are
// length-delimited.
func eachField(message []byte, f func(tag byte, raw, value []byte)) {
	for len(message) > 0 {
		_, kind, width := protowire.ConsumeTag(message)
		_, _, size := protowire.ConsumeField(message)
		if width < 0 || size < 0 {
			return // what we encoded is whole
		}
		var value []byte
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(message[width:size])
		}
		f(message[0], message[:size], value)
		message = message[size:]
	}
}

func appendBytes(buf []byte, tag byte, value []byte) []byte {
	return protowire.AppendBytes(append(buf, tag), value)
}
