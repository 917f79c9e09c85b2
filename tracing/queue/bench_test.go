package queue

import (
	"context"
	"log/slog"
	"testing"
	"time"
)

type sink struct{}

func (sink) Send(context.Context, []byte, int) (int64, error) { return 0, nil }

// encoded stands for a finished trace: 7 spans, 1 KiB.
type encoded []byte

func (e *encoded) AppendFrames(buf []byte) ([]byte, int) { return append(buf, *e...), 7 }

func trace() *encoded {
	frames, _ := spans{n: 7, size: 144}.AppendFrames(nil)
	return (*encoded)(&frames)
}

func benchmark(b *testing.B, settings Settings, run func(q *Queue)) {
	q := New("bench", settings, sink{}, slog.New(slog.DiscardHandler))
	go q.Run(b.Context())
	b.ReportAllocs()
	b.SetBytes(int64(len(*trace())))
	b.ResetTimer()
	run(q)
	b.StopTimer()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	q.Close(ctx)
}

func BenchmarkAppend(b *testing.B) {
	benchmark(b, DefaultSettings(), func(q *Queue) {
		t := trace()
		for b.Loop() {
			q.Append(t)
		}
	})
}

func BenchmarkAppendParallel(b *testing.B) {
	benchmark(b, DefaultSettings(), func(q *Queue) {
		b.RunParallel(func(pb *testing.PB) {
			t := trace()
			for pb.Next() {
				q.Append(t)
			}
		})
	})
}

// BenchmarkAppendFull: each append pushes out the oldest spans.
func BenchmarkAppendFull(b *testing.B) {
	settings := DefaultSettings()
	settings.MaxBatchSize = 1_000_000
	settings.MaxCoalescingDelay = time.Hour
	benchmark(b, settings, func(q *Queue) {
		t := trace()
		for range settings.MaxEntries / 7 {
			q.Append(t)
		}
		for b.Loop() {
			q.Append(t)
		}
	})
}
