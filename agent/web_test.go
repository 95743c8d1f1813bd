package agent

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// Status is for loopback and for whoever has the token.
func TestGuard(t *testing.T) {
	dir := t.TempDir()
	token := func(text string) string {
		path := filepath.Join(dir, "token"+text)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		remote, header, file string
		want                 int
	}{
		"loopback":          {"127.0.0.1:5", "", "", http.StatusOK},
		"loopback 6":        {"[::1]:5", "", "", http.StatusOK},
		"mapped loopback":   {"[::ffff:127.0.0.1]:5", "", "", http.StatusOK},
		"another host":      {"10.0.0.7:5", "", "", http.StatusUnauthorized},
		"the token":         {"10.0.0.7:5", "Bearer s3cret", token("s3cret"), http.StatusOK},
		"another token":     {"10.0.0.7:5", "Bearer s3cre", token("s3cret"), http.StatusUnauthorized},
		"no token wanted":   {"10.0.0.7:5", "Bearer s3cret", "", http.StatusUnauthorized},
		"an empty token":    {"10.0.0.7:5", "Bearer ", token(""), http.StatusUnauthorized},
		"a missing file":    {"10.0.0.7:5", "Bearer x", filepath.Join(dir, "none"), http.StatusUnauthorized},
		"another scheme":    {"10.0.0.7:5", "Basic s3cret", token("s3cret"), http.StatusUnauthorized},
		"no address at all": {"@", "", "", http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			h := guard(c.file, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
			r := httptest.NewRequest(http.MethodGet, "/api/v1/status", nil)
			r.RemoteAddr = c.remote
			if c.header != "" {
				r.Header.Set("Authorization", c.header)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("got %d, want %d", w.Code, c.want)
			}
		})
	}
}
