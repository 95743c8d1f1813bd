package conformance

import (
	"context"
	"strings"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// profiles names the MIG profiles of GPU 0, in the driver's order.
func profiles(ctx context.Context, n *model.Node) (out []string) {
	c := n.Connect(model.Caller{})
	defer c.Close()
	_ = c.InitWithFlags(ctx, 0)
	d, _ := c.DeviceGetHandleByIndex(ctx, 0)
	for enum := uint32(0); ; enum++ {
		p, ret := c.DeviceGetGpuInstanceProfileInfo(ctx, d, enum)
		if ret == model.Success {
			out = append(out, strings.TrimPrefix(p.Name, "MIG "))
		} else if ret != model.NotSupported {
			return out
		}
	}
}
