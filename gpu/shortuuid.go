package gpu

import (
	"crypto/sha256"
	"encoding/hex"
)

// ShortUUID is 12 hexadecimal characters that stand for a UUID where the whole does not fit:
// the start of its SHA-256.
func ShortUUID(u UUID) string {
	sum := sha256.Sum256([]byte(u))
	return hex.EncodeToString(sum[:6])
}
