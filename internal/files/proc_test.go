package files

import (
	"errors"
	"testing"
	"time"
)

// Who keeps waiting who asks is waited for once, and all of them together for
// seconds; the others are asked.
func TestPatiently(t *testing.T) {
	never := make(chan bool)
	ask := func(pid int) (int, error) {
		return Patiently(pid, func() (int, error) {
			if pid >= 1<<23 { // more than PID_MAX_LIMIT
				<-never
			}
			return pid, nil
		})
	}
	began := time.Now()
	for range 3 {
		for pid := range 30 {
			if got, err := ask(pid); got != pid || err != nil {
				t.Error(got, err)
			}
			if _, err := ask(1<<23 + pid); !errors.Is(err, ErrStuck) {
				t.Error(err)
			}
		}
	}
	if took := time.Since(began); took < 2*time.Second || took > 30*time.Second {
		t.Error(took)
	}
}
