"""What is known of providers: data files, read by ``tokenward.provider_files``."""
