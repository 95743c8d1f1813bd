package fakekubelet_test

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"
	podsv1 "k8s.io/kubelet/pkg/apis/pods/v1alpha1"

	"github.com/gpulet/gpulet/test/fakekubelet"
)

func connect(t *testing.T, socket string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func listPods(t *testing.T, k *fakekubelet.Kubelet) {
	t.Helper()
	c := podresources.NewPodResourcesListerClient(connect(t, k.PodResources()))
	if _, err := c.List(t.Context(), &podresources.ListPodResourcesRequest{}); err != nil {
		t.Error(err)
	}
}

// The Pods API refuses while the pods of before are not admitted yet.
func TestPodsAPIInitializes(t *testing.T) {
	k, _ := manual(t, nil)
	if _, err := k.Restart(fakekubelet.RestartOptions{Readmit: func() {
		c := podsv1.NewPodsClient(connect(t, k.PodsAPI()))
		if _, err := c.ListPods(t.Context(), &podsv1.ListPodsRequest{}); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("ListPods: %v", err)
		}
	}}); err != nil {
		t.Fatal(err)
	}
	c := podsv1.NewPodsClient(connect(t, k.PodsAPI()))
	if _, err := c.ListPods(t.Context(), &podsv1.ListPodsRequest{}); err != nil {
		t.Error(err)
	}
}

// Who asks too often is refused.
func TestRateLimit(t *testing.T) {
	k, _ := manual(t, nil)
	c := podresources.NewPodResourcesListerClient(connect(t, k.PodResources()))
	for range 1000 {
		if _, err := c.List(t.Context(), &podresources.ListPodResourcesRequest{}); err != nil {
			if status.Code(err) != codes.ResourceExhausted {
				t.Error(err)
			}
			return
		}
	}
	t.Error("1000 calls in a row were answered")
}

// A watcher that does not read is dropped and must begin anew.
func TestSlowWatcherIsDropped(t *testing.T) {
	k, _ := manual(t, nil)
	c := podsv1.NewPodsClient(connect(t, k.PodsAPI()))
	stream, err := c.WatchPods(t.Context(), &podsv1.WatchPodsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := stream.Recv(); err != nil || e.Type != podsv1.EventType_INITIAL_SYNC_COMPLETE {
		t.Fatalf("%v, %v", e, err)
	}
	big := map[string]string{"big": string(make([]byte, 32<<10))} // fills the connection's window
	for range 300 {
		pod, err := k.Admit(t.Context(), fakekubelet.PodSpec{Annotations: big, Containers: []fakekubelet.ContainerSpec{{Name: "main"}}})
		if err != nil {
			t.Fatal(err)
		}
		k.DeletePod(pod.UID)
	}
	for {
		if _, err := stream.Recv(); err != nil {
			if status.Code(err) != codes.ResourceExhausted {
				t.Error(err)
			}
			return
		}
	}
}

func TestOlderKubeletHasNoPodsAPI(t *testing.T) {
	k, _ := manual(t, func(o *fakekubelet.Options) { o.NoPodsAPI = true })
	c := podsv1.NewPodsClient(connect(t, k.PodsAPI()))
	if _, err := c.ListPods(t.Context(), &podsv1.ListPodsRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("ListPods: %v", err)
	}
}
