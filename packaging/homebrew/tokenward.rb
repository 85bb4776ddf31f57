# typed: true
# frozen_string_literal: true

# For a tap of your own. Homepage, address and sha256 are those of no release: packaging/formula writes them, then
# `brew update-python-resources tokenward` the libraries as resources, and `brew audit --new tokenward` looks at it all.
class Tokenward < Formula
  include Language::Python::Virtualenv

  desc "Keeps OAuth logins and API keys valid, and hands out their tokens"
  homepage "https://tokenward.invalid"
  url "https://tokenward.invalid/releases/tokenward-0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "Apache-2.0"

  depends_on "rust" => :build # watchfiles and pydantic-core are built from source
  depends_on "cryptography"
  depends_on "python@3.13"

  def install
    virtualenv_install_with_resources
    man1.install "man/tokenward.1"
    generate_completions_from_executable(bin/"tokenward", "completion")
  end

  service do
    run [opt_bin/"tokenward", "daemon"]
    keep_alive crashed: true
    environment_variables PATH: std_service_path_env
    log_path var/"log/tokenward.log"
    error_log_path var/"log/tokenward.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/tokenward --version")
    system bin/"tokenward", "demo", "--once"
  end
end
