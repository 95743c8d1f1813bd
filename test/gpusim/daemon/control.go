package daemon

import (
	"encoding/json"
	"net/http"
)

// handler is the control API: POST /do takes a Command and gives an Answer.
func (d *Daemon) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /do", func(w http.ResponseWriter, r *http.Request) {
		var c Command
		dec := json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		if err := dec.Decode(&c); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		a, err := Apply(r.Context(), d.cfg.Node, d.cfg.Engines, c)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(a); err != nil {
			d.cfg.Log.Debug("answer is not delivered", "reason", err)
		}
	})
	return mux
}
