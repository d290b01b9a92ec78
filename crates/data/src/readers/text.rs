//! From texts to tokens.

use std::collections::HashMap;
use std::path::Path;

use tokenizers::models::wordlevel::WordLevel;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    Tokenizer,
};

use crate::error::DataError;
use crate::samples::Samples;
use crate::set::DataSet;

/// Token 0 fills up short texts; token 1 stands for words that are not in the vocabulary.
const PADDING: &str = "[PAD]";
const UNKNOWN: &str = "[UNK]";

/// Texts with their labels, before they are tokenised.
pub(crate) struct Texts {
    pub(crate) texts: Vec<String>,
    pub(crate) labels: Vec<u32>,
    pub(crate) label_names: Vec<String>,
    pub(crate) ids: Vec<String>,
}

/// Cuts texts into tokens.
pub(crate) struct Tokeniser {
    tokenizer: Tokenizer,
    vocabulary: usize,
}

impl Tokeniser {
    /// One that was made elsewhere: a `tokenizer.json`. Its token 0 must be padding.
    pub(crate) fn from_file(path: &Path) -> Result<Self, DataError> {
        let refuse = |reason: String| DataError::Tokenizer {
            path: path.to_owned(),
            reason,
        };
        let mut tokenizer =
            Tokenizer::from_file(path).map_err(|error| refuse(error.to_string()))?;
        // Cutting and filling up is the network's business.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| refuse(error.to_string()))?;
        let vocabulary = tokenizer
            .get_vocab(true)
            .values()
            .max()
            .map_or(0, |top| *top as usize + 1);
        match tokenizer.id_to_token(0) {
            Some(token) if token.to_lowercase().contains("pad") => {}
            other => {
                return Err(refuse(format!(
                    "token 0 must be padding, it is `{}`",
                    other.unwrap_or_default()
                )));
            }
        }
        Ok(Self {
            tokenizer,
            vocabulary,
        })
    }

    /// The most frequent words of some texts, lower case, without accents, punctuation apart; at
    /// most `vocabulary` tokens, padding and the unknown word included.
    pub(crate) fn from_words(texts: &[String], vocabulary: usize) -> Result<Self, DataError> {
        let refuse = |reason: String| DataError::Tokenizer {
            path: "the words of the texts".into(),
            reason,
        };
        let normalizer = BertNormalizer::default();
        let mut counts: HashMap<String, u64> = HashMap::new();
        for text in texts {
            let mut normal = NormalizedString::from(text.as_str());
            normalizer
                .normalize(&mut normal)
                .map_err(|error| refuse(error.to_string()))?;
            let mut words = PreTokenizedString::from(normal);
            BertPreTokenizer
                .pre_tokenize(&mut words)
                .map_err(|error| refuse(error.to_string()))?;
            let splits = words.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
            for (word, ..) in splits {
                *counts.entry(word.to_owned()).or_default() += 1;
            }
        }
        let mut words: Vec<(String, u64)> = counts.into_iter().collect();
        words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        words.truncate(vocabulary.saturating_sub(2));
        let special = [PADDING, UNKNOWN].map(str::to_owned);
        let all = special.into_iter().chain(words.into_iter().map(|w| w.0));
        let table: Vec<(String, u32)> = all.zip(0u32..).collect();
        let vocabulary = table.len();
        let model = WordLevel::builder()
            .vocab(table.into_iter().collect())
            .unk_token(UNKNOWN.to_owned())
            .build()
            .map_err(|error| refuse(error.to_string()))?;
        let mut tokenizer = Tokenizer::new(model);
        tokenizer
            .with_normalizer(Some(normalizer))
            .map_err(|error| refuse(error.to_string()))?
            .with_pre_tokenizer(Some(BertPreTokenizer));
        Ok(Self {
            tokenizer,
            vocabulary,
        })
    }

    /// The data set that texts make.
    pub(crate) fn data_set(&self, name: &str, texts: Texts) -> Result<DataSet, DataError> {
        let encoded = self
            .tokenizer
            .encode_batch_fast(texts.texts, true)
            .map_err(|error| DataError::Tokenizer {
                path: name.into(),
                reason: error.to_string(),
            })?;
        let samples = Samples::Tokens {
            vocabulary: self.vocabulary,
            sequences: encoded.iter().map(|e| e.get_ids().to_vec()).collect(),
        };
        DataSet::new(name, samples, texts.labels, texts.label_names, texts.ids)
    }
}
