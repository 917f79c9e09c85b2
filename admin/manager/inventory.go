package manager

import (
	"io"
	"net/http"
)

const maxDocument = 8 << 20 // bytes of an OpenAPI document to compare with

func (m *manager) withoutInventory(w http.ResponseWriter) bool {
	if m.Inventory == nil {
		fail(w, http.StatusNotFound, "nothing is learned of the API here")
		return true
	}
	return false
}

func (m *manager) inventory(w http.ResponseWriter, _ *http.Request) {
	if !m.withoutInventory(w) {
		writeJSON(w, http.StatusOK, m.Inventory.View())
	}
}

func (m *manager) clearInventory(w http.ResponseWriter, _ *http.Request) {
	if !m.withoutInventory(w) {
		m.Inventory.Clear()
		w.WriteHeader(http.StatusNoContent)
	}
}

func (m *manager) openAPI(w http.ResponseWriter, _ *http.Request) {
	if m.withoutInventory(w) {
		return
	}
	document, err := m.Inventory.OpenAPI()
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Disposition", `attachment; filename="openapi.json"`)
	_, _ = w.Write(document) // the client may have gone
}

func (m *manager) compare(w http.ResponseWriter, r *http.Request) {
	if m.withoutInventory(w) {
		return
	}
	document, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDocument))
	if err != nil {
		bodyFault(w, err)
		return
	}
	differences, err := m.Inventory.Compare(document)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, differences)
}
