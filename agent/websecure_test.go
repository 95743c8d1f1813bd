package agent

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A web configuration asks for a password; a wrong one costs the page, says why, and is tried again.
func TestWebConfig(t *testing.T) {
	m := newMachine(t)
	file := filepath.Join(t.TempDir(), "web.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("basic_auth_users: [nonsense]\n")
	p := m.startWith("1", map[string]string{"web-config-file": file})
	p.await("the reason why the page is not served", func(s Status) bool {
		for _, x := range s.Sources {
			if strings.HasPrefix(x.Name, "HTTP") && !x.OK && strings.Contains(x.Reason, file) {
				return true
			}
		}
		return false
	})
	const hash = "$2a$04$7hY/e1YuvnlKtS3IK0Dexe5KmBQThXMNXDANP//T33Qig/adwRbim" // bcrypt of "secret"
	write("basic_auth_users: {prometheus: " + hash + "}\n")
	get := func(password string) int {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+p.listen+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("prometheus", password)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for deadline := time.Now().Add(20 * time.Second); get("secret") != http.StatusOK; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the page does not come")
		}
	}
	if got := get("wrong"); got != http.StatusUnauthorized {
		t.Errorf("a wrong password gives %d", got)
	}
	http.DefaultClient.CloseIdleConnections()
}
