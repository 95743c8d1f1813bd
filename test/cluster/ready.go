package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// awaitReady returns when every node is Ready and untainted, and when pods can be made: the default
// service account exists.
func (c *Cluster) awaitReady(ctx context.Context) error {
	config, err := c.Client()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for _, n := range c.Nodes {
		err := n.kubelet.await(ctx, func(ctx context.Context) error {
			node, err := client.CoreV1().Nodes().Get(ctx, n.name, meta.GetOptions{})
			if err != nil {
				return err
			}
			return ready(node)
		})
		if err != nil {
			return fmt.Errorf("%w; see %s", err, filepath.Join(c.Dir, "logs"))
		}
	}
	return c.controllers.await(ctx, func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", meta.GetOptions{})
		return err
	})
}

func ready(node *core.Node) error {
	if len(node.Spec.Taints) > 0 {
		return fmt.Errorf("tainted: %s", node.Spec.Taints[0].Key)
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == core.NodeReady {
			if condition.Status == core.ConditionTrue {
				return nil
			}
			return fmt.Errorf("not ready: %s", condition.Message)
		}
	}
	return errors.New("no Ready condition yet")
}
