mod markdown;
mod transcript;
