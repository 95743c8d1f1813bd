package fakekubelet_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/test/fakekubelet"
	"github.com/gpulet/gpulet/test/fakekubelet/kubelettest"
)

func TestPreStart(t *testing.T) {
	k, clock := manual(t, nil)
	fail := errors.New("busy")
	p := &kubelettest.Plugin{Options: api.DevicePluginOptions{PreStartRequired: true}}
	p.OnPreStart = func([]string) error { return fail }
	plugin(t, k, p, "a")
	pod, err := k.Admit(t.Context(), fakekubelet.Requesting("p", gpus, 1))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := k.StartPod(t.Context(), pod.UID)
		done <- err
	}()
	tried := func(n int) {
		t.Helper()
		wait(t, k, fmt.Sprint(n, " attempts"), func() bool { return len(k.Events()) == n })
	}
	tried(1)
	if now, _ := k.Pod(pod.UID); now.Phase != corev1.PodPending || now.Container("main").Reason != "CreateContainerConfigError" {
		t.Errorf("the pod is %v", now)
	}
	if e := k.Events()[0]; e.Pod != "default/p" || !strings.Contains(e.Message, "PreStartContainer rpc failed with err: ") || !strings.Contains(e.Message, "busy") {
		t.Errorf("the event is %v", e)
	}
	step := func(d time.Duration, n int) { // the retry may begin to wait later than we advance
		t.Helper()
		wait(t, k, "retry", func() bool {
			clock.Advance(d)
			time.Sleep(time.Millisecond)
			k.RemoveFromNode("none")
			return len(k.Events()) >= n
		})
	}
	step(time.Second, 2)
	fail = nil
	wait(t, k, "the start", func() bool {
		clock.Advance(14 * time.Second)
		time.Sleep(time.Millisecond)
		k.RemoveFromNode("none") // a change, so that Wait asks again
		now, _ := k.Pod(pod.UID)
		return now.Phase == corev1.PodRunning
	})
	if err := <-done; err != nil {
		t.Error(err)
	}
	again, err := k.RestartContainer(t.Context(), pod.UID, "main")
	if err != nil || again.Restarts != 1 || len(p.PreStarted()) != 4 {
		t.Errorf("restarted %v, asked %v, error %v", again, p.PreStarted(), err)
	}
	if again.Given.Env["IDS"] != "[a]" {
		t.Errorf("the container got %v", again.Given)
	}
	// A kubelet that has restarted does not know that the plugin wants to be asked.
	if _, err := k.Restart(fakekubelet.RestartOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.RestartContainer(t.Context(), pod.UID, "main"); err != nil || len(p.PreStarted()) != 4 {
		t.Errorf("asked %v, error %v", p.PreStarted(), err)
	}
}
