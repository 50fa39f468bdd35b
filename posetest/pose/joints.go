package pose

// Joints are COCO's 17 keypoints, in the order in which every family here
// gives them; left and right are the person's own.
var Joints = [17]string{
	"nose", "left_eye", "right_eye", "left_ear", "right_ear",
	"left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
	"left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
}

// Skeleton lists the bones that COCO draws, each as the indices of its two
// ends in [Joints].
var Skeleton = [19][2]int{
	{15, 13}, {13, 11}, {16, 14}, {14, 12}, {11, 12}, {5, 11}, {6, 12},
	{5, 6}, {5, 7}, {6, 8}, {7, 9}, {8, 10},
	{1, 2}, {0, 1}, {0, 2}, {1, 3}, {2, 4}, {3, 5}, {4, 6},
}
