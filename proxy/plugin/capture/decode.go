package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Bounds of what a body may ask of a decoder.
const (
	maxCodings = 3       // one around the other
	maxWindow  = 8 << 20 // bytes that zstd may look back; RFC 9659
)

// errCoding tells of a content coding that is not known.
var errCoding = errors.New("unknown content coding")

// decode undoes the content codings of a body and appends at most limit bytes of what comes out. cut: there is more,
// because of the limit or because in ends early. Memory is bounded by limit and by what the decoders look back.
func decode(out, in []byte, coding string, limit int) (decoded []byte, cut bool, err error) {
	var codings []string
	for name := range strings.SplitSeq(coding, ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" && name != "identity" {
			codings = append(codings, name)
		}
	}
	if len(codings) > maxCodings {
		return out, false, errCoding
	}
	source := io.Reader(bytes.NewReader(in))
	for i := len(codings) - 1; i >= 0; i-- {
		reader, err := open(codings[i], source)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return out, len(in) > 0, nil
		}
		if err != nil {
			return out, false, fmt.Errorf("decode %s: %w", codings[i], err)
		}
		defer reader.Close()
		source = reader
	}
	from := len(out)
	buffer := bytes.NewBuffer(out)
	_, err = io.Copy(buffer, io.LimitReader(source, int64(limit)+1))
	out = buffer.Bytes()
	if len(out)-from > limit {
		return out[:from+limit], true, nil
	}
	switch {
	case err == nil:
		return out, false, nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return out, true, nil
	default:
		return out[:from], false, fmt.Errorf("decode %s: %w", coding, err)
	}
}

var gzips, zstds, brotlis sync.Pool

// open makes a decoder. Its Close gives it back for later use.
func open(coding string, source io.Reader) (io.ReadCloser, error) {
	switch coding {
	case "gzip", "x-gzip":
		if r, ok := gzips.Get().(*gzip.Reader); ok {
			return pooled{r, func() { gzips.Put(r) }}, r.Reset(source)
		}
		r, err := gzip.NewReader(source)
		if err != nil {
			return nil, err
		}
		return pooled{r, func() { gzips.Put(r) }}, nil
	case "deflate": // zlib's format by RFC 9110, the bare one by custom
		head := make([]byte, 2)
		n, err := io.ReadFull(source, head)
		if err != nil {
			return nil, err
		}
		source = io.MultiReader(bytes.NewReader(head[:n]), source)
		if head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
			return zlib.NewReader(source)
		}
		return flate.NewReader(source), nil
	case "br":
		r, ok := brotlis.Get().(*brotli.Reader)
		if !ok {
			r = brotli.NewReader(source)
		} else if err := r.Reset(source); err != nil {
			return nil, err
		}
		return pooled{r, func() { brotlis.Put(r) }}, nil
	case "zstd":
		r, ok := zstds.Get().(*zstd.Decoder)
		if !ok {
			var err error
			if r, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow)); err != nil {
				return nil, err
			}
		}
		return pooled{r, func() { _ = r.Reset(nil); zstds.Put(r) }}, r.Reset(source)
	default:
		return nil, errCoding
	}
}

// pooled is a decoder that is given back when it is closed.
type pooled struct {
	io.Reader
	back func()
}

func (p pooled) Close() error {
	p.back()
	return nil
}
