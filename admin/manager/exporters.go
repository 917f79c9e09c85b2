package manager

import (
	"fmt"
	"net/http"

	"sidekong/admin"
)

func (m *manager) exporters(w http.ResponseWriter, _ *http.Request) {
	all := []admin.Exporter{}
	if m.Exporters != nil {
		all = append(all, m.Exporters()...)
	}
	writeJSON(w, http.StatusOK, Exporters{Exporters: all, Problem: problem(all)})
}

// problem says in one sentence what is wrong, worst first.
func problem(all []admin.Exporter) string {
	for _, e := range all {
		lost := uint64(0)
		for _, n := range e.Dropped {
			lost += n
		}
		switch {
		case e.Failing && lost > 0:
			return fmt.Sprintf("%s does not take spans: %s. %d are lost, %d wait.", e.Endpoint, e.LastError, lost, e.Queued)
		case e.Failing:
			return fmt.Sprintf("%s does not take spans: %s. %d wait.", e.Endpoint, e.LastError, e.Queued)
		}
	}
	for _, e := range all {
		for reason, n := range e.Dropped {
			if n > 0 {
				return fmt.Sprintf("%d spans for %s are lost (%s).", n, e.Endpoint, reason)
			}
		}
		if e.Rejected > 0 {
			return fmt.Sprintf("%s has refused %d spans.", e.Endpoint, e.Rejected)
		}
	}
	return ""
}
