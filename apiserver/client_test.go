package apiserver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewSaysWhatIsMissing(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("KUBERNETES_SERVICE_PORT", "")
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	if err := os.WriteFile(good, []byte(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: t}}]
current-context: c
`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cfg  Config
		want string // of the error; empty: none
		none bool
	}{
		{"no node", Config{Kubeconfig: good}, "the name of this node", false},
		{"nothing", Config{Node: "n"}, "given no kubeconfig", true},
		{"no file", Config{Node: "n", Kubeconfig: filepath.Join(dir, "none")}, "no such file", false},
		{"bad file", Config{Node: "n", Kubeconfig: bad}, "read the kubeconfig", false},
		{"good file", Config{Node: "n", Kubeconfig: good}, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := New(c.cfg)
			if c.want == "" {
				if err != nil || client == nil {
					t.Errorf("error %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrNone) != c.none {
				t.Errorf("error %v", err)
			}
		})
	}
}
