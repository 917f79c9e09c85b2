package proxy

import (
	"sync/atomic"
	"time"

	"sidekong/proxy/plugin"
	"sidekong/tracing"
)

// interim tells of a request that is still under way when Options.LongRequest is over, by a span of its own below the
// root, which itself is exported at its end only. See docs/decisions/0010-interim-reports.md.
//
// The report is complete but for its end before the timer starts. From then on it is the timer's, so that the
// request's own trace stays with the request's goroutine.
type interim struct {
	timer  *time.Timer
	done   chan struct{} // closed when the report has been made
	report *tracing.Trace
	span   tracing.Span
	to     []plugin.Reporter
	status atomic.Int64 // what the client got so far; 0: nothing
}

// watch starts the time of an interim report.
func (x *exchange) watch() {
	bound := x.gw.options.LongRequest
	if bound <= 0 || !x.trace.Sampled() {
		return
	}
	to := x.plugins.Reporters(&x.ctx)
	if len(to) == 0 {
		return
	}
	l := &interim{done: make(chan struct{}), to: to, report: x.gw.options.Tracer.Start(x.arrived)}
	l.span = l.report.StartSpanAt("kong.interim", tracing.KindInternal, tracing.Span{}, 0)
	l.report.Adopt(tracing.Adoption{
		TraceID: x.trace.ID(), Parent: x.root.ID(), Local: true,
		State: x.trace.State(), Flags: x.trace.Flags(), Sampled: true,
	})
	x.describeRequest(l.span.Defaults())
	x.interim = l
	l.timer = time.AfterFunc(max(bound-time.Since(x.arrived), 0), l.make)
}

func (l *interim) make() {
	defer close(l.done)
	if status := l.status.Load(); status != 0 {
		l.span.SetInt("http.response.status_code", status)
	}
	l.span.End()
	for _, reporter := range l.to {
		reporter.Report(l.report)
	}
	l.report.Release()
}

// answered notes the status of the answer whose body is about to begin.
func (l *interim) answered(status int) {
	if l != nil {
		l.status.Store(int64(status))
	}
}

// end is called when the request is over. A report that is being made is waited for: it uses the request's plugins.
func (l *interim) end() {
	if l == nil {
		return
	}
	if l.timer.Stop() {
		l.report.Release()
		return
	}
	<-l.done
}
