package posetest_test

import "testing"

func TestDiagnose(t *testing.T) { suite.TestDiagnose(t) }
