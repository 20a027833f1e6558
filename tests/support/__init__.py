"""What several tests share and is not a test itself: servers, programs, proxies, sample bodies and facts."""
